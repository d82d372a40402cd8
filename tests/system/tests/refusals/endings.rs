//! What ends soon is seen in time: in the CA's inventory, by `doctor`, and by who watches measurements; and lists are
//! signed again before their time is up.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sealbook_authority::Authority;
use sealbook_identity::{Role, pem};
use sealbook_system::TestNetwork;
use sealbook_system::network::wait_for;
use sealbook_system::programs::Programs;
use serde_json::Value;

use super::{DAY_MS, now_ms};

const HOUR_MS: u64 = 3_600_000;
/// A name that may stand in no measurement.
const MARKED: &str = "marked-firm-7";

const ENDS: &str = "sealbook_certificate_not_after_seconds";

/// What a node says to whoever asks so.
fn http(address: SocketAddr, request: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return String::new();
    };
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn measured(address: SocketAddr, name: &str) -> Option<u64> {
    let answer = http(address, "GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n");
    let sample = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    answer.lines().find_map(sample)
}

/// What `doctor` says of one thing at one place.
fn said(doctor: &Value, place: &str, what: &str) -> Vec<(String, String)> {
    let word = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
    let all = doctor.as_array().unwrap().iter();
    all.filter(|one| one["where"] == place && one["what"] == what)
        .map(|one| (word(one, "result"), word(one, "text")))
        .collect()
}

/// The node's own measurements, and nobody's name among them. Says when its certificate ends, in seconds.
fn nodes_measurements(address: SocketAddr) -> u64 {
    let ends = || measured(address, ENDS);
    let before = wait_for("measurements", ends);
    let soon = (now_ms() + 10 * DAY_MS) / 1_000;
    assert!(before <= soon && before + 3_600 > soon, "{before} {soon}");
    let firm = "sealbook_revocation_list_next_update_seconds{role=\"firm\"}";
    assert!(measured(address, firm).unwrap() > now_ms() / 1_000);
    wait_for("blocks", || {
        let height = measured(address, "sealbook_executed_height")?;
        (height > 1).then_some(())
    });
    let answer = http(address, "GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n");
    assert!(
        answer.contains("sealbook_voting 1") && !answer.contains(MARKED),
        "{answer}"
    );
    assert!(http(address, "GET / HTTP/1.1\r\nHost: node\r\n\r\n").contains(" 404 "));
    assert!(http(address, "POST /metrics HTTP/1.1\r\nHost: node\r\n\r\n").contains(" 405 "));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000));
    assert!(!http(address, &long).contains(" 200 "));
    assert!(http(address, "\u{1}\u{2}\r\n\r\n").contains(" 400 "));
    // Many who say nothing take all places, and are sent away after a while.
    let silent: Vec<TcpStream> = (0..40)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    assert_eq!(ends(), None);
    wait_for("measurements beside many who say nothing", ends);
    drop(silent);
    before
}

fn lists_for_six_hours(network: &TestNetwork) -> String {
    let authority = Authority::open(&network.folder().join("ca")).unwrap();
    let sign = |role| {
        let signed = authority.revocation_list(role, now_ms(), 6 * HOUR_MS);
        let signed = signed.unwrap();
        (signed.authority, signed.der)
    };
    let pairs: Vec<_> = Role::ALL.into_iter().map(sign).collect();
    pem::lists_to_pem(&pairs).unwrap()
}

/// A node whose port for measurements is another's ends and says why, and begins when it is free.
fn without_its_port_it_does_not_begin(network: &mut TestNetwork, address: SocketAddr) {
    network.stop("node-1");
    let taken = TcpListener::bind(address).unwrap();
    network.start("node-1");
    assert_eq!(network.wait_for_end("node-1"), Some(1));
    let log = network.log("node-1");
    assert!(log.contains("error: metrics: "), "{log}");
    drop(taken);
    network.start("node-1");
}

#[test]
fn what_ends_soon_is_seen_in_time_and_renewed_is_seen_no_more() {
    let until = jiff::Timestamp::from_millisecond(i64::try_from(now_ms() + 10 * DAY_MS).unwrap());
    let until = until.unwrap().to_string();
    let mut network = TestNetwork::create(1, 0, &["--certificates-until", &until]);
    // An address of this process alone, so that nobody takes the port while the node does not run.
    let [.., first, second] = std::process::id().to_be_bytes();
    let own = SocketAddr::from(([127, 99, first, second], 0));
    let address = TcpListener::bind(own).unwrap().local_addr().unwrap();
    let list = network.scratch().join("lists.crl");
    let list = list.to_str().unwrap().to_owned();
    let node = network.folder().join("node-1").join("node.toml");
    let toml = fs::read_to_string(&node).unwrap();
    let more = format!("metrics_listen = \"{address}\"\nrevocation_lists = [{list:?}]\n");
    fs::write(&node, more + &toml).unwrap();
    let say = |network: &TestNetwork, words: &[&str]| {
        let words = [&["--json"], words].concat();
        network.sealbook(&words).expect_code(0).json()
    };
    fs::write(&list, lists_for_six_hours(&network)).unwrap();
    network.start_all();
    let enrol = ["member", "enrol", MARKED, "--role", "firm"];
    let _ = say(
        &network,
        &[&enrol[..], &["--organisation", MARKED]].concat(),
    );

    // The inventory: what was certified for a year is not due.
    let names = |network: &TestNetwork, due: &[&str]| -> Vec<String> {
        let shown = say(network, &[&["ca", "inventory"], due].concat());
        let all = shown.as_array().unwrap().iter();
        all.map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = names(&network, &[]);
    assert!(all.contains(&MARKED.to_owned()));
    let due = names(&network, &["--due"]);
    let expected: Vec<String> = all.into_iter().filter(|name| name != MARKED).collect();
    assert_eq!(due, expected);
    assert!(due.contains(&"node-1".to_owned()) && due.contains(&"admin".to_owned()));
    assert_eq!(names(&network, &["--due", "--within", "9"]), [""; 0]);
    let metrics = network.scratch().join("ca.prom");
    let _ = say(
        &network,
        &["ca", "inventory", "--metrics", metrics.to_str().unwrap()],
    );
    let text = fs::read_to_string(&metrics).unwrap();
    for line in [
        "sealbook_ca_certificates{role=\"node\",is=\"ends-soon\"} 1",
        "sealbook_ca_certificates{role=\"firm\",is=\"valid\"} 1",
        "sealbook_ca_authority_not_after_seconds{authority=\"root\"} ",
        "sealbook_ca_next_not_after_seconds{role=\"firm\"} ",
        "sealbook_ca_list_next_update_seconds{role=\"firm\"} ",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert!(!text.contains(MARKED) && !text.contains("node-1"));

    let before = nodes_measurements(address);
    let ends = || measured(address, ENDS);

    // Doctor warns of the node, of the members whose keys are here, and of the lists.
    let doctor = say(&network, &["doctor"]);
    let warned = |what: (String, String), word: &str| what.0 == "warning" && what.1.contains(word);
    let one = |doctor: &Value, place, what| said(doctor, place, what).remove(0);
    assert!(warned(one(&doctor, "node-1", "certificate"), "ends "));
    assert!(warned(one(&doctor, "files", "inventory"), "node-1"));
    let (_, members) = one(&doctor, "files", "members");
    assert!(
        members.contains("admin") && !members.contains(MARKED),
        "{members}"
    );
    assert_eq!(one(&doctor, "files", "authorities").0, "ok");
    let lists = said(&doctor, "node-1", "revocation list");
    assert_eq!(lists.len(), 7);
    assert!(lists.into_iter().all(|list| warned(list, "only")));

    without_its_port_it_does_not_begin(&mut network, address);
    wait_for("measurements again", ends);

    // Renewed, it is due no more, and its node says so when it starts with it.
    let _ = say(&network, &["node", "renew", "node-1"]);
    let _ = say(&network, &["--as", "admin", "member", "renew"]);
    network.stop("node-1");
    network.start("node-1");
    wait_for("the later certificate", || {
        (ends()? > before + 300 * 86_400).then_some(())
    });
    let due = names(&network, &["--due"]);
    assert!(!due.contains(&"node-1".to_owned()) && !due.contains(&"admin".to_owned()));
    let doctor = say(&network, &["doctor"]);
    assert_eq!(one(&doctor, "node-1", "certificate").0, "ok");
    let status = say(&network, &["status"]);
    let shown = &status[0]["certificate_ends"];
    assert!(shown.as_str().unwrap() > until.as_str(), "{shown}");
}

/// A command that goes on until it is dropped.
struct GoesOn(Child);

impl Drop for GoesOn {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn lists_are_signed_when_it_is_time_and_not_otherwise() {
    let network = TestNetwork::create(2, 0, &[]);
    let out = network.scratch().join("lists.crl");
    let crl = |more: &[&str]| {
        let words = ["--json", "ca", "crl", "--out", out.to_str().unwrap()];
        network.sealbook(&[&words[..], more].concat())
    };
    let why = |more: &[&str]| {
        let told = crl(&[&["--if-due"], more].concat()).expect_code(0).json();
        let why = told["why"].as_str().map(str::to_owned);
        assert_eq!(told["signed"], why.is_some());
        why.unwrap_or_default()
    };
    assert!(why(&[]).contains("firm: there is none to go on with"));
    assert_eq!(why(&[]), "");
    let before = fs::read(&out).unwrap();
    let revoke = ["ca", "revoke", "admin", "--reason", "superseded"];
    let _ = network.sealbook(&revoke).expect_code(0);
    assert_eq!(why(&[]), "admin: something was revoked since");
    assert_eq!(why(&[]), "");
    // Whoever puts the older file back, or destroys it, gets what it lacks.
    fs::write(&out, &before).unwrap();
    assert_eq!(why(&[]), "admin: something was revoked since");
    fs::write(&out, "no list").unwrap();
    assert!(why(&[]).contains("none to go on with"));
    assert_eq!(why(&["--role", "firm"]), "");
    // A list whose key is not here any more stays as it was, and so do those for which it is not time.
    let key = network.folder().join("ca").join("issuing-admin.key");
    let elsewhere = network.scratch().join("issuing-admin.key");
    fs::rename(&key, &elsewhere).unwrap();
    let revoke = ["ca", "revoke", "node-1", "--reason", "superseded"];
    let _ = network.sealbook(&revoke).expect_code(0);
    let told = crl(&["--if-due"]).expect_code(0).json();
    let lists = told["lists"].as_array().unwrap();
    let signed = lists.iter().filter(|list| list["signed"] == true);
    let signed: Vec<&Value> = signed.map(|list| &list["role"]).collect();
    assert_eq!((lists.len(), signed), (7, vec![&Value::from("node")]));
    let refused = crl(&["--keep", "--role", "admin"]).expect_code(1);
    assert!(refused.err.contains("is not here"), "{refused:?}");
    fs::rename(&elsewhere, &key).unwrap();
    // Half of the time is over.
    let authority = Authority::open(&network.folder().join("ca")).unwrap();
    let old = authority.revocation_list(Role::Firm, now_ms() - 20 * HOUR_MS, 30 * HOUR_MS);
    let old = old.unwrap();
    let old = pem::lists_to_pem(&[(old.authority, old.der)]).unwrap();
    fs::write(&out, old).unwrap();
    assert_eq!(why(&["--role", "firm"]), "firm: half of its time is over");
    // A file that cannot be written is an error, and the one that is there stays.
    let nowhere = network.scratch().join("nowhere").join("lists.crl");
    let words = ["ca", "crl", "--if-due", "--out", nowhere.to_str().unwrap()];
    let _ = network.sealbook(&words).expect_code(1);
    let both = crl(&["--if-due", "--keep"]).expect_code(2);
    assert!(both.err.contains("--keep"), "{both:?}");
    let _ = crl(&["--every", "5"]).expect_code(2);

    kept_by_a_command_that_goes_on(&network, &out);
}

/// `ca crl --keep`, which looks every second.
fn keeps(programs: &Programs, network: &TestNetwork, out: &Path, log: &Path) -> GoesOn {
    let folder = network.folder().to_str().unwrap();
    let words = ["--json", "--network", folder, "ca", "crl", "--keep"];
    let output = fs::File::create(log).unwrap();
    let mut command = Command::new(programs.path("sealbook"));
    command
        .args(words)
        .args(["--every", "1", "--out"])
        .arg(out)
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output);
    GoesOn(command.spawn().unwrap())
}

fn kept_by_a_command_that_goes_on(network: &TestNetwork, out: &Path) {
    let log = network.scratch().join("kept.log");
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let programs = Programs::hold();
    let _kept = keeps(&programs, network, out, &log);
    fs::remove_file(out).unwrap();
    wait_for("the list to be there again", || out.is_file().then_some(()));
    let revoke = ["ca", "revoke", "node-2", "--reason", "superseded"];
    let _ = network.sealbook(&revoke).expect_code(0);
    wait_for("the revocation to be on the list", || {
        said().contains("node: something was revoked").then_some(())
    });
    // What fails is said, and tried again.
    let ca = network.folder().join("ca");
    let elsewhere = network.folder().join("elsewhere");
    fs::rename(&ca, &elsewhere).unwrap();
    wait_for("an error", || said().contains("error: ").then_some(()));
    fs::rename(&elsewhere, &ca).unwrap();
    fs::remove_file(out).unwrap();
    wait_for("the list to be there again", || out.is_file().then_some(()));
}

#[test]
fn nothing_is_signed_again_because_the_file_could_not_be_written() {
    let network = TestNetwork::create(1, 0, &[]);
    let folder = network.scratch().join("later");
    let (out, log) = (folder.join("lists.crl"), network.scratch().join("kept.log"));
    let programs = Programs::hold();
    let _kept = keeps(&programs, &network, &out, &log);
    let errors = || {
        let said = fs::read_to_string(&log).unwrap_or_default();
        said.matches("error: ").count()
    };
    wait_for("three tries", || (errors() >= 3).then_some(()));
    let signed = || {
        let inventory = network.folder().join("ca").join("issued.txt");
        let text = fs::read_to_string(inventory).unwrap();
        text.lines()
            .filter(|line| line.starts_with("list "))
            .count()
    };
    assert_eq!(signed(), Role::ALL.len());
    fs::create_dir(&folder).unwrap();
    wait_for("the lists", || out.is_file().then_some(()));
    assert_eq!(signed(), Role::ALL.len());
}
