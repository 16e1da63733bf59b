//! The certificate authorities that are trusted besides the machine's own (`--ca-certificates`), as one file for all tools.

use crate::model::Invalid;
use openssl::x509::X509;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The largest file of certificates that is read; those of distributions have a quarter of a megabyte.
const LARGEST: u64 = 8 << 20;

/// Where distributions keep the authorities that they trust.
const OF_SYSTEMS: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Writes the machine's own authorities and those of these files to one file, which everybody may read. Without files
/// there is none, and what an earlier start wrote is removed. Blocking.
///
/// # Errors
/// A file that cannot be read or holds no certificates; a place that cannot be written.
pub fn install(files: &[PathBuf], place: &Path) -> Result<Option<PathBuf>, Invalid> {
    let unwritable = |e: io::Error| Invalid::new(format!("failed to write `{}`: {e}", place.display()));
    if files.is_empty() {
        return match fs::remove_file(place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unwritable(error)),
            _ => Ok(None),
        };
    }
    let mut bundle = own();
    for file in files {
        bundle.extend(certificates(file)?);
    }
    write(place, &bundle).map_err(unwritable)?;
    Ok(Some(place.to_owned()))
}

/// What the machine trusts: what `SSL_CERT_FILE` names, else the distribution's list. A machine may have none.
fn own() -> Vec<u8> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let places = named.into_iter().chain(OF_SYSTEMS.map(PathBuf::from));
    let mut bundle = places.filter_map(|place| read(&place).ok()).next().unwrap_or_default();
    if bundle.last().is_some_and(|byte| *byte != b'\n') {
        bundle.push(b'\n');
    }
    bundle
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if metadata.len() > LARGEST {
        return Err(io::Error::other(format!("it has more than {} MB", LARGEST >> 20)));
    }
    fs::read(path)
}

/// The certificates of a file and nothing else of it: a key beside them is not passed on.
fn certificates(path: &Path) -> Result<Vec<u8>, Invalid> {
    let file = path.display();
    let bytes = read(path).map_err(|e| {
        Invalid::new(format!("the file of `--ca-certificates` `{file}` cannot be read: {e}"))
            .hint("name a PEM file with the certificates of your authorities")
    })?;
    let damaged = |e: openssl::error::ErrorStack| {
        let why = e.errors().first().and_then(|e| e.reason()).unwrap_or("it is damaged");
        Invalid::new(format!("a certificate in `{file}` (`--ca-certificates`) cannot be read: {why}")).hint(format!(
            "see what is in it: `openssl crl2pkcs7 -nocrl -certfile {file} | openssl pkcs7 -print_certs`"
        ))
    };
    // OpenSSL takes a block that it cannot read for the end of the file.
    let begun = bytes.windows(BEGIN.len()).filter(|at| *at == BEGIN).count();
    let found = X509::stack_from_pem(&bytes).map_err(damaged)?;
    if begun == 0 || found.is_empty() {
        return Err(none(path, &bytes));
    }
    if found.len() < begun {
        return Err(Invalid::new(format!(
            "certificate {} of `{file}` (`--ca-certificates`) is damaged",
            found.len() + 1
        ))
        .hint("write the file anew from its source"));
    }
    let mut pem = Vec::new();
    for certificate in &found {
        pem.extend(certificate.to_pem().map_err(damaged)?);
    }
    Ok(pem)
}

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

fn none(path: &Path, bytes: &[u8]) -> Invalid {
    let file = path.display();
    let hint = match X509::from_der(bytes) {
        Ok(_) => format!("it is in DER form; write it anew: `openssl x509 -inform der -in {file} -out {file}.pem`"),
        Err(_) => "name a PEM file; a certificate in it begins with `-----BEGIN CERTIFICATE-----`".to_owned(),
    };
    Invalid::new(format!("`{file}` (`--ca-certificates`) holds no certificate")).hint(hint)
}

/// At once or not at all: builds may be reading the old one.
fn write(place: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = place.with_extension("new");
    let _ = fs::remove_file(&fresh);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    // The mask of the process may have taken bits away.
    fs::set_permissions(&fresh, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    fs::rename(&fresh, place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::asn1::Asn1Time;
    use openssl::hash::MessageDigest;
    use openssl::pkey::PKey;
    use openssl::rsa::Rsa;

    fn authority() -> (X509, Vec<u8>) {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut builder = X509::builder().unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        (builder.build(), key.private_key_to_pem_pkcs8().unwrap())
    }

    #[test]
    fn one_file_holds_all_authorities_and_no_key() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("all.pem");
        let (first, key) = authority();
        let (second, _) = authority();
        let pem = |x: &X509| x.to_pem().unwrap();
        std::fs::write(dir.path().join("a.pem"), [b"# ours\n".to_vec(), key, pem(&first)].concat()).unwrap();
        std::fs::write(dir.path().join("b.pem"), pem(&second)).unwrap();
        let files = [dir.path().join("a.pem"), dir.path().join("b.pem")];
        assert_eq!(install(&files, &place).unwrap().as_ref(), Some(&place));
        let written = std::fs::read(&place).unwrap();
        let all = X509::stack_from_pem(&written).unwrap();
        assert!(
            [&first, &second].iter().all(|wanted| all.iter().any(|x| x.to_der().unwrap() == wanted.to_der().unwrap()))
        );
        assert!(!String::from_utf8(written).unwrap().contains("PRIVATE"));
        assert_eq!(install(&[], &place).unwrap(), None);
        assert!(!place.exists());
        assert_eq!(install(&[], &place).unwrap(), None);
    }

    #[test]
    fn what_holds_no_certificates_is_refused_with_a_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |bytes: &[u8]| {
            let file = dir.path().join("x");
            std::fs::write(&file, bytes).unwrap();
            let invalid = install(&[file], &dir.path().join("all.pem")).unwrap_err();
            format!("{}; {}", invalid.message, invalid.hint.unwrap_or_default())
        };
        let (authority, key) = authority();
        let pem = String::from_utf8(authority.to_pem().unwrap()).unwrap();
        for (bytes, wanted) in [
            (Vec::new(), "holds no certificate"),
            (key, "holds no certificate"),
            (authority.to_der().unwrap(), "-inform der"),
            (format!("{pem}{}", pem.replace("MII", "!!!")).into_bytes(), "x`"),
            (pem[..pem.len() / 2].into(), "x`"),
        ] {
            let said = refused(&bytes);
            assert!(said.contains(wanted) && said.contains("--ca-certificates"), "{said}");
        }
        let missing = install(&["/no/such/file".into()], &dir.path().join("all.pem")).unwrap_err();
        assert!(missing.message.contains("`/no/such/file` cannot be read"), "{missing:?}");
        assert!(!dir.path().join("all.pem").exists());
    }
}
