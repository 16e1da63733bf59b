//! A giver of tokens for the tests' registry, as Docker Hub and others have one: the registry checks their signature.

use super::registry::Registry;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use openssl::x509::{X509, X509Name};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// What was asked of it.
pub type Asked = Arc<Mutex<Vec<String>>>;

/// Restarts the registry so that it wants a token for everything.
pub fn demand(registry: &mut Registry) -> Asked {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let certificate = certificate(&key);
    let bundle = registry.path().join("bundle.pem");
    std::fs::write(&bundle, certificate.to_pem().unwrap()).unwrap();
    registry.stop();
    registry.configure(&format!(
        "auth:\n  token:\n    realm: 'http://127.0.0.1:{port}/token'\n    service: tests\n    issuer: tests\n    \
         rootcertbundle: {}\n",
        bundle.display()
    ));
    registry.start();
    let asked = Asked::default();
    let noted = asked.clone();
    // Ends with the process: it holds nothing.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|count| count > 0) {}
            noted.lock().unwrap().push(head);
            let body = json!({ "token": token(&key, &certificate), "expires_in": 60 }).to_string();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = reader.get_mut().write_all(answer.as_bytes());
        }
    });
    asked
}

fn certificate(key: &PKey<Private>) -> X509 {
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_text("CN", "tests").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    builder.sign(key, MessageDigest::sha256()).unwrap();
    builder.build()
}

/// A JSON Web Token that allows pulling the tests' image.
fn token(key: &PKey<Private>, certificate: &X509) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let head = json!({ "typ": "JWT", "alg": "RS256", "x5c": [STANDARD.encode(certificate.to_der().unwrap())] });
    let claims = json!({
        "iss": "tests", "sub": "", "aud": "tests", "exp": now + 60, "nbf": now - 60, "iat": now, "jti": "1",
        "access": [{ "type": "repository", "name": "acme/orders", "actions": ["pull"] }],
    });
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(head.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mut signer = Signer::new(MessageDigest::sha256(), key).unwrap();
    signer.update(text.as_bytes()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signer.sign_to_vec().unwrap()))
}
