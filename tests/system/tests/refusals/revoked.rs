//! Certificates that the CA has taken back, from the command to the closed door.

use std::fs;

use sealbook_identity::files::read_chain;
use sealbook_system::TestNetwork;
use sealbook_system::network::wait_for;

/// Names a list in a node's configuration.
fn tell(network: &TestNetwork, node: &str, list: &str) {
    let path = network.folder().join(node).join("node.toml");
    let before = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("revocation_lists = [{list:?}]\n{before}")).unwrap();
}

/// Node 1 reads its list again every minute; node 2 has none.
fn a_newer_list_counts_without_a_restart(network: &TestNetwork, list: &str) {
    for words in [
        &["ca", "revoke", "beta", "--reason", "superseded"][..],
        &["ca", "crl", "--out", list],
    ] {
        let _ = network.sealbook(words).expect_code(0);
    }
    let beta = network.folder().join("members").join("beta");
    let beta = |node| network.client_from(&beta, 0).status_of(node);
    wait_for("node-1 to read the newer list", || {
        beta(0).is_err().then_some(())
    });
    network.client("admin", 0).status_of(0).unwrap();
    beta(1).unwrap();
}

#[test]
fn a_revoked_certificate_opens_no_door_where_nodes_are_told() {
    let mut network = TestNetwork::running(4, 0);
    network.agreement();
    for name in ["alpha", "beta"] {
        let enrol = ["member", "enrol", name, "--role", "firm", "--organisation"];
        let _ = network
            .sealbook(&[&enrol[..], &["Somebody"]].concat())
            .expect_code(0);
    }
    let revoke = |who: &str, reason: &str, code: i32| {
        let ran = network.sealbook(&["--json", "ca", "revoke", who, "--reason", reason]);
        ran.expect_code(code)
    };
    assert!(
        revoke("nobody", "superseded", 2)
            .err
            .contains("nothing was certified")
    );
    assert!(revoke("alpha", "boredom", 2).err.contains("key-compromise"));
    let said = revoke("alpha", "key-compromise", 0).json();
    assert_eq!(said["name"], "alpha");
    assert_eq!(said["revoked"]["reason"], "key-compromise");
    let again = revoke(said["serial"].as_str().unwrap(), "superseded", 2);
    assert!(
        again.err.contains("revoked already") && again.err.contains("hint: "),
        "{}",
        again.err
    );
    let _ = revoke("node-4", "superseded", 0);
    let inventory = network
        .sealbook(&["--json", "ca", "inventory"])
        .expect_code(0);
    let inventory = inventory.json();
    let revoked = inventory.as_array().unwrap().iter();
    let revoked = revoked.filter(|one| !one["revoked"].is_null());
    assert_eq!(revoked.count(), 2);

    let list = network.scratch().join("lists.crl");
    let list = list.to_str().unwrap();
    let crl = |more: &[&str], code| {
        let ran = network.sealbook(&[&["--json", "ca", "crl", "--out", list], more].concat());
        ran.expect_code(code)
    };
    let _ = crl(&["--days", "0"], 2);
    let _ = crl(&["--role", "king"], 2);
    assert_eq!(crl(&["--role", "firm"], 0).json()["lists"][0]["number"], 1);
    let lists = crl(&[], 0).json()["lists"].clone();
    assert_eq!(lists.as_array().unwrap().len(), 7);
    let firms = lists.as_array().unwrap().iter();
    let firms = firms.clone().find(|one| one["role"] == "firm").unwrap();
    assert_eq!(
        (&firms["number"], &firms["revoked"]),
        (&2.into(), &1.into())
    );

    // A node that was not told lets them in.
    let members = network.folder().join("members");
    let alpha = |network: &TestNetwork| network.client_from(&members.join("alpha"), 0);
    alpha(&network).status_of(0).unwrap();

    network.stop("node-1");
    tell(&network, "node-1", list);
    network.start("node-1");
    let admin = network.client("admin", 0);
    wait_for("node-1 to serve", || admin.status_of(0).ok());
    let told = alpha(&network).status_of(0).unwrap_err().to_string();
    assert!(told.contains("CertificateUnknown"), "{told}");
    alpha(&network).status_of(1).unwrap();
    network
        .client_from(&members.join("beta"), 0)
        .status_of(0)
        .unwrap();
    let log = wait_for("node-1 to refuse node-4", || {
        let log = network.log("node-1");
        log.contains("a node was refused").then_some(log)
    });
    assert!(log.contains("a client was refused"), "{log}");
    assert!(log.contains("reason key-compromise"), "{log}");

    a_newer_list_counts_without_a_restart(&network, list);

    // A node that is told to have a list does not begin without it.
    network.stop("node-2");
    tell(&network, "node-2", "nowhere.crl");
    network.start("node-2");
    assert_eq!(network.wait_for_end("node-2"), Some(1));
    let log = network.log("node-2");
    assert!(log.contains("error: revocation lists: "), "{log}");
    assert!(log.contains("nowhere.crl"), "{log}");
}

#[test]
fn holders_of_the_issuing_ca_before_stay_valid_and_are_held_against_its_list() {
    let mut network = TestNetwork::create(1, 0, &[]);
    network.start_all();
    network.agreement();
    let say = |network: &TestNetwork, words: &[&str], code| {
        network
            .sealbook(&[&["--json"], words].concat())
            .expect_code(code)
    };
    let enrol = |network: &TestNetwork, name: &str| {
        let words = ["member", "enrol", name, "--role", "firm"];
        let _ = say(network, &[&words[..], &["--organisation", "B"]].concat(), 0);
    };
    enrol(&network, "alpha");
    enrol(&network, "beta");
    let rotated = say(&network, &["ca", "rotate", "firm"], 0).json();
    assert_eq!(rotated["under_former"], 2);
    let again = say(&network, &["ca", "rotate", "firm"], 1);
    assert!(
        again.err.contains("2 certificates of role `firm`"),
        "{again:?}"
    );
    enrol(&network, "gamma");
    let chain = |network: &TestNetwork, name: &str| {
        let folder = network.folder().join("members").join(name);
        read_chain(&folder.join("chain.pem")).unwrap()
    };
    let before = chain(&network, "beta");
    assert_ne!(before[1], chain(&network, "gamma")[1]);

    let list = network.scratch().join("lists.crl");
    let list = list.to_str().unwrap().to_owned();
    let lists = say(&network, &["ca", "crl", "--out", &list], 0).json()["lists"].clone();
    let former = lists.as_array().unwrap().iter();
    let former: Vec<_> = former.filter(|one| one["former"] == true).collect();
    assert_eq!(lists.as_array().unwrap().len(), 8);
    assert_eq!((former.len(), &former[0]["role"]), (1, &"firm".into()));
    let _ = say(
        &network,
        &["ca", "revoke", "alpha", "--reason", "superseded"],
        0,
    );
    let signed = say(&network, &["ca", "crl", "--out", &list, "--if-due"], 0).json();
    let why = signed["why"].as_str().unwrap();
    assert!(
        why.contains("firm: something") && why.contains("firm before: something"),
        "{why}"
    );
    tell(&network, "node-1", &list);
    network.stop("node-1");
    network.start("node-1");
    let of = |network: &TestNetwork, name: &str| network.client(name, 0).status_of(0);
    for name in ["beta", "gamma", "admin"] {
        wait_for(name, || of(&network, name).ok());
    }
    assert!(of(&network, "alpha").is_err());
    // Certified anew it comes from the new one, and when the last has, there may be another.
    let _ = say(&network, &["--as", "beta", "member", "renew"], 0);
    assert_eq!(chain(&network, "beta")[1], chain(&network, "gamma")[1]);
    let serial = say(&network, &["ca", "inventory"], 0).json();
    let serial = serial.as_array().unwrap().iter();
    let mut serial = serial.filter(|one| one["name"] == "beta" && one["is"] == "renewed");
    let serial = serial.next().unwrap()["serial"]
        .as_str()
        .unwrap()
        .to_owned();
    let _ = say(
        &network,
        &["ca", "revoke", &serial, "--reason", "superseded"],
        0,
    );
    let rotated = say(&network, &["ca", "rotate", "firm"], 0).json();
    assert_eq!(rotated["under_former"], 2);
    wait_for("beta under its new certificate", || {
        of(&network, "beta").ok()
    });
}
