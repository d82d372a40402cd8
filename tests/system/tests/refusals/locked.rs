//! Keys that lie encrypted on the disk: who has the passphrase works as before, who has not gets nothing done.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use sealbook_system::TestNetwork;
use sealbook_system::files::copy_folder;
use sealbook_system::network::wait_for;

/// Runs a command with the passphrase in its environment; its exit code, and what it said.
fn with(network: &TestNetwork, phrase: &Path, words: &[&str]) -> (Option<i32>, String) {
    let ran = Command::new(network.programs().path("sealbook"))
        .env("SEALBOOK_PASSPHRASE_FILE", phrase)
        .args(["--network", network.folder().to_str().unwrap()])
        .args(words)
        .output()
        .unwrap();
    let said = [ran.stdout, ran.stderr].map(|text| String::from_utf8(text).unwrap());
    (ran.status.code(), said.concat())
}

#[test]
fn encrypted_keys_serve_whoever_has_the_passphrase_and_nobody_else() {
    let mut network = TestNetwork::create(4, 0, &[]);
    let folder = network.folder().to_owned();
    let phrase = network.scratch().join("phrase");
    fs::write(&phrase, "correct horse battery staple\n").unwrap();
    fs::set_permissions(&phrase, fs::Permissions::from_mode(0o600)).unwrap();
    let before = network.scratch().join("before");
    copy_folder(&folder.join("ca"), &before);

    let mut keys = vec![
        folder.join("node-1/key.pem"),
        folder.join("members/admin/key.pem"),
    ];
    for entry in fs::read_dir(folder.join("ca")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "key") {
            keys.push(path);
        }
    }
    assert_eq!(keys.len(), 10);
    let plain = fs::read_to_string(&keys[1]).unwrap();
    let secret = plain.lines().nth(1).unwrap().to_owned();
    let mut words = vec!["key", "encrypt"];
    words.extend(keys.iter().map(|key| key.to_str().unwrap()));
    let without = network.sealbook(&words).expect_code(2);
    assert!(without.err.contains("passphrase-file"), "{}", without.err);
    assert_eq!(with(&network, &phrase, &words).0, Some(0));
    for key in &keys {
        let text = fs::read_to_string(key).unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
        assert!(!text.contains(&secret));
    }

    // A node without the passphrase does not start; with it, it does.
    network.start("node-1");
    assert_eq!(network.wait_for_end("node-1"), Some(1));
    let log = network.log("node-1");
    assert!(
        log.contains("is encrypted, and no passphrase is given"),
        "{log}"
    );
    assert!(log.contains("SEALBOOK_PASSPHRASE_FILE"), "{log}");
    network.forget("node-1");
    let given = format!("SEALBOOK_PASSPHRASE_FILE={}", phrase.display());
    network.on_host("node-1", vec!["env".to_owned(), given]);
    for node in network.node_names() {
        network.start(&node);
    }
    let enrol = [
        "member",
        "enrol",
        "alpha",
        "--role",
        "firm",
        "--organisation",
        "Somebody",
    ];
    wait_for("the network to serve", || {
        let (code, said) = with(&network, &phrase, &["member", "show"]);
        (code == Some(0)).then_some(said)
    });
    // Neither the member's key nor the CA's opens without it, and the new member's key is encrypted from the beginning.
    let locked = network.sealbook(&enrol).expect_code(1);
    assert!(locked.err.contains("is encrypted"), "{}", locked.err);
    assert!(locked.err.contains("hint: "), "{}", locked.err);
    let (code, said) = with(&network, &phrase, &enrol);
    assert_eq!(code, Some(0), "{said}");
    let alpha = fs::read_to_string(folder.join("members/alpha/key.pem")).unwrap();
    assert!(alpha.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    let (code, said) = with(&network, &phrase, &["--as", "alpha", "holdings"]);
    assert_eq!(code, Some(0), "{said}");
    // Another passphrase opens nothing and destroys nothing.
    let other = network.scratch().join("other");
    fs::write(&other, "incorrect horse\n").unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    let (code, said) = with(&network, &other, &words);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("does not open"), "{said}");
    words[1] = "decrypt";
    assert_eq!(with(&network, &phrase, &words).0, Some(0));
    assert_eq!(fs::read_to_string(&keys[1]).unwrap(), plain);
    for entry in fs::read_dir(&before).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "key") {
            let now = folder.join("ca").join(path.file_name().unwrap());
            assert_eq!(fs::read(&path).unwrap(), fs::read(now).unwrap());
        }
    }
    let _ = network.sealbook(&["member", "show"]).expect_code(0);
}
