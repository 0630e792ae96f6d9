//! Version 3: every level and algorithm that net-snmp has too, and what is refused.

use crate::tools::{Lab, error, lines, printer, run};
use printgate::simulate::snmp::{Access, User};

const SYS_NAME: &str = "1.3.6.1.2.1.1.5.0";

async fn ask(lab: &Lab, options: &[&str]) -> Result<String, String> {
    let options = [&["-v3"], options].concat();
    let output = run("snmpget", &options, lab.agent(), &[SYS_NAME]).await;
    if output.status.success() { Ok(lines(&output).pop().unwrap().1) } else { Err(error(&output)) }
}

fn auth<'a>(user: &'a str, protocol: &'a str) -> Vec<&'a str> {
    vec!["-l", "authNoPriv", "-u", user, "-a", protocol, "-A", "authentication"]
}

fn private<'a>(user: &'a str, protocol: &'a str, privacy: &'a str) -> Vec<&'a str> {
    let user = ["-l", "authPriv", "-u", user, "-a", protocol, "-A", "authentication"];
    [&user[..], &["-x", privacy, "-X", "privacy-of-print"]].concat()
}

#[tokio::test]
async fn every_user_is_answered_at_its_level() {
    let lab = printer("office-colour", |_| {}).await;
    for options in [
        vec!["-l", "noAuthNoPriv", "-u", "noauth"],
        auth("auth-md5", "MD5"),
        auth("auth-sha", "SHA"),
        auth("auth-sha512", "SHA-512"),
        private("priv-des", "MD5", "DES"),
        private("priv-aes", "SHA", "AES"),
        private("priv-aes256", "SHA-256", "AES-256"),
    ] {
        let answer = ask(&lab, &options).await.unwrap_or_else(|error| panic!("{options:?}: {error}"));
        assert!(answer.starts_with("Hex-STRING"), "{options:?}: {answer}");
    }
}

#[tokio::test]
async fn what_is_not_right_is_refused_by_name() {
    let lab = printer("office-colour", |_| {}).await;
    for (options, complaint) in [
        (vec!["-l", "noAuthNoPriv", "-u", "stranger"], "Unknown user name"),
        (vec!["-l", "authNoPriv", "-u", "noauth", "-a", "SHA", "-A", "authentication"], "Unsupported security level"),
        (vec!["-l", "authNoPriv", "-u", "auth-sha", "-a", "SHA", "-A", "authentication!"], "Authentication failure"),
        (vec!["-l", "authNoPriv", "-u", "auth-sha", "-a", "MD5", "-A", "authentication"], "Authentication failure"),
        (vec!["-l", "noAuthNoPriv", "-u", "priv-aes"], "authorizationError"),
    ] {
        let told = ask(&lab, &options).await.expect_err("is refused");
        assert!(told.contains(complaint), "{options:?}: {told}");
    }
    let mut wrong = private("priv-aes", "SHA", "AES");
    *wrong.last_mut().unwrap() = "not-this-password";
    // The agent reports usmStatsDecryptionErrors; net-snmp words it as it likes.
    let told = ask(&lab, &[&wrong[..], &["-t", "0.3", "-r", "0"]].concat()).await.expect_err("is refused");
    assert!(told.contains("ecryption error") || told.contains("Timeout"), "{told}");
}

#[tokio::test]
async fn users_and_communities_are_those_that_were_given() {
    let user: User = "watch:SHA-384:as-long-as-it-takes:AES-192:another-long-one".parse().unwrap();
    let access = Access { communities: vec!["office".to_owned(), "lab".to_owned()], users: vec![user].into() };
    let lab = printer("office-colour", |spec| spec.snmp_access = access).await;
    let options = ["-l", "authPriv", "-u", "watch", "-a", "SHA-384", "-A", "as-long-as-it-takes"];
    let options = [&options[..], &["-x", "AES-192", "-X", "another-long-one"]].concat();
    ask(&lab, &options).await.unwrap();
    assert!(ask(&lab, &["-l", "noAuthNoPriv", "-u", "noauth"]).await.is_err());
    for (community, answered) in [("office", true), ("lab", true), ("public", false)] {
        let options = ["-v2c", "-c", community, "-t", "0.3", "-r", "0"];
        let output = run("snmpget", &options, lab.agent(), &[SYS_NAME]).await;
        assert_eq!(output.status.success(), answered, "{community}: {}", error(&output));
    }
}
