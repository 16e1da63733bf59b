//! Who one is: the first key, and STS.

use super::{ACCOUNT, Draft, Server, credentials};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use towpath::access::signature::Credentials;
use towpath::model::{Secret, Timestamp};

#[tokio::test]
async fn the_first_start_makes_a_private_key_file_and_no_later_one_touches_it() {
    let server = Server::start().await;
    let mode = std::fs::metadata(server.credentials_file()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let first = server.admin.clone();
    let data = server.stop().await;
    let again = Server::start_on(data).await;
    assert_eq!((&again.admin.key_id, again.admin.secret.reveal()), (&first.key_id, first.secret.reveal()));
    assert_eq!(again.call(&first, "AppRunner.ListServices", json!({})).await.status, 200);
    std::fs::remove_file(again.credentials_file()).unwrap();
    let file = again.credentials_file();
    assert!(!again.access.ensure_administrator(&file, Timestamp::now()).await.unwrap() && !file.exists());
}

#[tokio::test]
async fn the_store_holds_no_secret_that_can_be_read() {
    let server = Server::start().await;
    let secret = server.admin.secret.reveal().to_owned();
    let data = server.stop().await;
    for entry in
        std::fs::read_dir(data.path().join("store")).unwrap().map(Result::unwrap).filter(|e| e.path().is_file())
    {
        let bytes = std::fs::read(entry.path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "{}", entry.path().display());
    }
    // With another key the stored secret is of no use to anybody.
    std::fs::write(data.path().join("access.key"), "0".repeat(64)).unwrap();
    let other = Server::start_on(data).await;
    let admin = credentials(&other.credentials_file());
    other.call(&admin, "AppRunner.ListServices", json!({})).await.assert_error(400, "UnrecognizedClientException");
}

fn who_am_i(server: &Server, body: &str) -> Draft {
    let mut draft = Draft::new(server.address, body);
    let form = "application/x-www-form-urlencoded; charset=utf-8";
    draft.headers.insert("content-type", form.parse().unwrap());
    draft
}

#[tokio::test]
async fn sts_says_who_one_is() {
    let server = Server::start().await;
    let request = who_am_i(&server, "Action=GetCallerIdentity&Version=2011-06-15");
    let answer = server.send(request.sign(&server.admin, "sts", Timestamp::now())).await;
    assert_eq!((answer.status, &answer.headers["content-type"]), (200, &"text/xml".parse().unwrap()));
    let id = &server.access.directory().users["admin"].id;
    for part in [
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">".to_owned(),
        format!("<Arn>arn:aws:iam::{ACCOUNT}:user/admin</Arn>"),
        format!("<UserId>{id}</UserId>"),
        format!("<Account>{ACCOUNT}</Account>"),
    ] {
        assert!(answer.text.contains(&part), "{part}: {}", answer.text);
    }
}

#[tokio::test]
async fn refusals_of_sts_are_xml_too() {
    let server = Server::start().await;
    let wrong = Credentials { secret: Secret::new("x".into()), ..server.admin.clone() };
    let nobody = Credentials { key_id: "AKIANOBODY".into(), ..server.admin.clone() };
    let who = "Action=GetCallerIdentity&Version=2011-06-15";
    let unsigned = who_am_i(&server, who).unsigned();
    let sign =
        |body: &str, by: &Credentials, service: &str| who_am_i(&server, body).sign(by, service, Timestamp::now());
    for (request, status, code) in [
        (unsigned, 403, "MissingAuthenticationToken"),
        (sign(who, &wrong, "sts"), 403, "SignatureDoesNotMatch"),
        (sign(who, &nobody, "sts"), 400, "InvalidClientTokenId"),
        (sign(who, &server.admin, "apprunner"), 403, "SignatureDoesNotMatch"),
        (sign("Action=<b>&Version=2011-06-15", &server.admin, "sts"), 404, "InvalidAction"),
        (sign("Action=ListUsers&Version=2010-05-08", &server.admin, "sts"), 404, "InvalidAction"),
    ] {
        let answer = server.send(request).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(
            answer.text.starts_with("<ErrorResponse") && answer.text.contains(&format!("<Code>{code}</Code>")),
            "{}",
            answer.text
        );
        assert!(!answer.text.contains("<b>"), "{}", answer.text);
    }
}
