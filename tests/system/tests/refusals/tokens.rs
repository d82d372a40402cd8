//! Certificates for whoever has a token, from a CA that nobody sits at.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use sealbook_identity::files::read_chain;
use sealbook_securities::Outcome;
use sealbook_system::TestNetwork;
use sealbook_system::programs::{Programs, Ran};

use super::certificates::gives_orders;

/// A CA that serves, until it is killed.
struct Serving {
    child: Child,
    address: SocketAddr,
    said: Option<JoinHandle<String>>,
}

impl Serving {
    fn begin(programs: &Programs, network: &Path) -> Self {
        let mut child = Command::new(programs.path("sealbook"))
            .args(["--json", "--network", network.to_str().unwrap()])
            .args(["ca", "serve", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let first: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = first["listening"].as_str().unwrap().parse().unwrap();
        let said = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = output.read_to_string(&mut text);
            text
        });
        Self {
            child,
            address,
            said: Some(said),
        }
    }

    /// Ends it as a power cut would, and gives what it had said.
    fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.said.take().unwrap().join().unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a CA says to whoever sends that.
fn answer_to(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// What a holder finds out before it sends anything, or is told.
fn what_is_not_right_uses_no_token_up(
    (file, text): (&str, &str),
    folder: &Path,
    path: &dyn Fn(&str) -> String,
    enrol: &dyn Fn(&str, &str) -> Ran,
) {
    let out = folder.to_str().unwrap();
    // A request that is not for the key beside it uses no token up.
    let moved = folder.join("moved.pem");
    fs::rename(folder.join("key.pem"), &moved).unwrap();
    let _ = enrol(file, out).expect_code(1);
    fs::rename(
        Path::new(&path("other")).join("key.pem"),
        folder.join("key.pem"),
    )
    .unwrap();
    let told = enrol(file, out).expect_code(1);
    assert!(told.err.contains("not for this key"), "{told:?}");
    fs::rename(&moved, folder.join("key.pem")).unwrap();
    // A token that others may read, or that was altered, is not used.
    let altered = path("altered.token");
    fs::write(&altered, text.replace("role firm", "role admin")).unwrap();
    let exposed = enrol(&altered, &path("third")).expect_code(1);
    assert!(exposed.err.contains("mode"), "{exposed:?}");
    let _ = std::process::Command::new("chmod")
        .args(["600", &altered])
        .status()
        .unwrap();
    let told = enrol(&altered, &path("third")).expect_code(1);
    assert!(told.err.contains("role"), "{told:?}");
}

#[test]
fn whoever_has_a_token_is_certified_once_and_nobody_looks() {
    let mut network = TestNetwork::create(1, 0, &[]);
    network.start_all();
    network.agreement();
    let programs = Programs::hold();
    let scratch = network.scratch().to_owned();
    let path = |name: &str| scratch.join(name).to_str().unwrap().to_owned();
    let token = |name: &str, file: &str, more: &[&str]| {
        let words = [
            "ca",
            "token",
            name,
            "--role",
            "firm",
            "--organisation",
            "Alpha",
        ];
        network.sealbook(&[&words[..], &["--out", file], more].concat())
    };
    let file = path("alpha.token");
    let made = token("alpha", &file, &[]).expect_code(0);
    let text = fs::read_to_string(&file).unwrap();
    let (_, secret) = text.trim_end().rsplit_once(' ').unwrap();
    assert!(!made.out.contains(secret) && made.out.contains("in confidence"));
    // What is there is not written over, and what is no name is no token.
    assert!(
        token("alpha", &file, &[])
            .expect_code(2)
            .err
            .contains("exists")
    );
    let _ = token("Al pha", &path("no.token"), &[]).expect_code(1);
    let _ = token("alpha", &path("no.token"), &["--hours", "0"]).expect_code(2);

    let serving = Serving::begin(&programs, network.folder());
    // The holder has the token, and nothing of the network.
    let enrol = |token: &str, address: SocketAddr, out: &str| {
        let address = address.to_string();
        programs.sealbook(&[
            "ca", "enrol", "--token", token, "--at", &address, "--out", out,
        ])
    };
    let folder = network.folder().join("members").join("alpha");
    let out = folder.to_str().unwrap();
    // Whoever holds connections open, or sends what no token opens, hears nothing and holds nobody up.
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[255; 64],
        &[4, 0, 0, 0, 1, 2, 3, 4],
    ] {
        assert_eq!(answer_to(serving.address, bytes), b"");
    }
    let silent: Vec<TcpStream> = (0..80)
        .map(|_| TcpStream::connect(serving.address).unwrap())
        .collect();
    assert_eq!(answer_to(serving.address, b""), b"");
    let said = enrol(&file, serving.address, out).expect_code(0);
    assert!(said.out.contains("alpha, role firm"), "{said:?}");
    drop(silent);
    let chain = read_chain(&folder.join("chain.pem")).unwrap();
    // Another folder has another key: the token is used.
    let other = path("other");
    let refused = enrol(&file, serving.address, &other).expect_code(1);
    assert!(refused.err.contains("used for another"), "{refused:?}");
    assert!(refused.err.contains("hint: "));
    assert!(!Path::new(&other).join("chain.pem").exists());
    // The CA is killed, and the holder loses what it was given: the same key is given the same again.
    let log = serving.kill();
    assert!(
        log.contains("\"refused\":null") && log.contains("used for another"),
        "{log}"
    );
    assert!(!log.contains(secret) && !log.contains("PRIVATE"));
    fs::remove_file(folder.join("chain.pem")).unwrap();
    let gone = enrol(&file, "127.0.0.1:1".parse().unwrap(), out).expect_code(1);
    assert!(gone.err.contains("try again"), "{gone:?}");
    let serving = Serving::begin(&programs, network.folder());
    let _ = enrol(&file, serving.address, out).expect_code(0);
    assert_eq!(read_chain(&folder.join("chain.pem")).unwrap(), chain);
    what_is_not_right_uses_no_token_up((&file, &text), &folder, &path, &|token, out| {
        enrol(token, serving.address, out)
    });
    drop(serving);

    // Let in by an admin, the member acts.
    let admit = ["member", "admit", &format!("{out}/chain.pem")].map(str::to_owned);
    let _ = network.sealbook(&admit).expect_code(0);
    let orders = gives_orders(&mut network.client("alpha", 0), "A1");
    assert_eq!(orders, [Outcome::SETTLED]);
}
