//! A member follows its events while nodes, and the command that follows, are killed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use sealbook_sdk::Events;
use sealbook_securities::{EventCursor, EventRow};
use sealbook_system::TestNetwork;
use sealbook_system::crowd::{self, Crowd, open_books};
use sealbook_system::network::wait_for;
use serde_json::Value;

/// A command that follows events into a file until it is dropped, by kill -9.
struct Follower {
    child: Child,
    out: PathBuf,
}

impl Follower {
    fn begin(network: &TestNetwork, member: &str, cursor: &Path, number: usize) -> Self {
        let out = network
            .scratch()
            .join(format!("events-{member}-{number}.jsonl"));
        let [stdout, stderr] =
            [out.clone(), out.with_extension("err")].map(|path| File::create(path).unwrap());
        let child = Command::new(network.programs().path("sealbook"))
            .arg("--network")
            .arg(network.folder())
            .args(["--json", "--as", member, "events", "--follow"])
            .args(["--every", "20", "--cursor"])
            .arg(cursor)
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self { child, out }
    }

    /// The whole lines that it has printed.
    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.out).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn check_alive(&mut self) {
        let ended = self.child.try_wait().unwrap();
        let said = fs::read_to_string(self.out.with_extension("err")).unwrap();
        assert!(ended.is_none(), "{said}");
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn events(network: &TestNetwork, member: &str) -> Vec<Value> {
    let ran = network.sealbook(&["--json", "--as", member, "events"]);
    let out = ran.expect_code(0).out;
    out.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// All that one node tells a member.
fn told_by(network: &TestNetwork, member: &str, node: &str, until: EventCursor) -> Vec<EventRow> {
    let mut client = network.client_of(member, &[node]);
    let (mut rows, mut from) = (Vec::new(), EventCursor::default());
    while from <= until {
        match client.events(from).unwrap() {
            Events::Told(view) => {
                from = view.next;
                rows.extend(view.rows);
            }
            Events::Refused(outcome) => panic!("{outcome}"),
        }
    }
    rows.retain(|row| row.at <= until);
    rows
}

fn position(event: &Value) -> (u64, u32) {
    let (height, place) = event["at"].as_str().unwrap().split_once('.').unwrap();
    (height.parse().unwrap(), place.parse().unwrap())
}

/// How many events there are of each kind: the word, the action, and whether the order was the member's own.
fn kinds(events: &[Value]) -> BTreeMap<(String, String, bool), usize> {
    let mut counts = BTreeMap::new();
    for event in events {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let kind = (text("event"), text("action"), event["id"].is_string());
        *counts.entry(kind).or_default() += 1;
    }
    counts
}

/// What followers printed one after the other, each event once.
fn printed_by(followers: &[Follower]) -> Vec<Value> {
    // Each command printed what came after the cursor that it began with, in order; and nothing is missing between them.
    let mut printed: Vec<Value> = Vec::new();
    for follower in followers {
        let lines = follower.lines();
        assert!(
            lines
                .windows(2)
                .all(|two| position(&two[0]) < position(&two[1]))
        );
        // One that was killed before it saved its cursor left the next to print the same again.
        let known = printed.len();
        for line in lines {
            match printed.iter().find(|one| one["at"] == line["at"]) {
                Some(before) => assert_eq!(*before, line),
                None => printed.push(line),
            }
        }
        assert!(printed.len() > known, "it printed nothing new");
    }
    printed
}

#[test]
fn whoever_follows_its_events_misses_none_and_sees_none_twice_whatever_is_killed() {
    let mut network = TestNetwork::running(4, 0);
    open_books(&network);
    let cursor = network.scratch().join("cursor-beta");
    let mut followers = vec![Follower::begin(&network, "beta", &cursor, 0)];
    let crowd = Crowd::begin(&network);
    for (round, victim) in ["node-1", "node-2", "node-3", "node-4"].iter().enumerate() {
        crowd.wait_for_more(15);
        network.kill(victim);
        crowd.wait_for_more_of_each(3);
        // What follows goes on with another node, and where it was when it begins anew.
        let mut last = followers.pop().unwrap();
        last.check_alive();
        let seen = last.lines().len();
        wait_for("more events without the node", || {
            (last.lines().len() > seen + 5).then_some(())
        });
        let _ = last.child.kill();
        followers.push(last);
        followers.push(Follower::begin(&network, "beta", &cursor, round + 1));
        network.start(victim);
        network.wait_for_height(victim, crowd::highest(&network));
    }
    network.kill_all();
    network.start_all();
    crowd.wait_for_more(10);
    followers.last_mut().unwrap().check_alive();
    let done = crowd.end();
    let all = events(&network, "beta");
    let last = position(all.last().unwrap());
    wait_for("the last event to be printed", || {
        let lines = followers.last().unwrap().lines();
        (lines.last().map(position) == Some(last)).then_some(())
    });

    assert_eq!(printed_by(&followers), all);
    drop(followers);

    // What was acknowledged is there, once each.
    let (given, trades) = (done.transfers_by_firm(), done.trades_settled());
    let counts = kinds(&all);
    let count = |event: &str, action: &str, own| {
        let kind = (event.to_owned(), action.to_owned(), own);
        counts.get(&kind).copied().unwrap_or_default()
    };
    assert_eq!(count("settled", "transfer", true), given[1]);
    assert_eq!(count("settled", "transfer", false), given[0]);
    assert_eq!(count("settled", "confirm-trade", true), trades);
    assert_eq!(count("trade-to-confirm", "record-trade", false), trades);
    let of_alpha = kinds(&events(&network, "alpha"));
    let settled = ("settled".to_owned(), "confirm-trade".to_owned(), false);
    assert_eq!(of_alpha[&settled], trades);
    done.check(&network);

    // Any node tells the same.
    let until = EventCursor {
        height: last.0,
        place: last.1,
    };
    let first = told_by(&network, "beta", "node-1", until);
    assert_eq!(first.len(), all.len());
    for node in ["node-2", "node-3", "node-4"] {
        assert_eq!(told_by(&network, "beta", node, until), first, "{node}");
    }
    // And nobody is told more than its own: no account that it did not name itself, no reference of another's order, no
    // trade of others. Beta gives to G-1, gamma to A-1.
    let text = |name| -> String {
        events(&network, name)
            .iter()
            .map(Value::to_string)
            .collect()
    };
    let [beta, gamma] = ["beta", "gamma"].map(text);
    for others in ["A-1", "\"w0-", "\"w2-"] {
        assert!(!beta.contains(others), "{others}");
    }
    for others in ["B-1", "\"w0-", "\"w1-", "trade-"] {
        assert!(!gamma.contains(others), "{others}");
    }
    assert!(beta.contains("\"w1-") && gamma.contains("\"w2-"));
    network.agreement();
}

#[test]
fn cursors_that_are_none_are_refused() {
    let network = TestNetwork::running(1, 0);
    let told = |more: &[&str]| network.sealbook(&[&["--json", "events"], more].concat());
    for wrong in ["", "x", "1.", "1.-1", "1.2.3", "99999999999999999999"] {
        let refused = told(&["--from", wrong]).expect_code(2);
        assert!(refused.err.contains("hint: a cursor is"), "{refused:?}");
    }
    let _ = told(&["--every", "50"]).expect_code(2);
    let _ = told(&["--follow", "--every", "1"]).expect_code(2);
    let file = network.scratch().join("cursor");
    let path = file.to_str().unwrap();
    let _ = told(&["--from", "1", "--cursor", path]).expect_code(2);
    for wrong in ["", "1.0", "not a cursor\n", "1.0\n"] {
        fs::write(&file, wrong).unwrap();
        let refused = told(&["--cursor", path]).expect_code(1);
        assert!(refused.err.contains("is no cursor's file"), "{refused:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), wrong);
    }
    fs::remove_file(&file).unwrap();
    let day = ["day", "open", "2012-08-09"];
    let _ = network.sealbook(&day).expect_code(0);
    let first = told(&["--cursor", path]).expect_code(0);
    assert!(
        first.out.contains("\"event\":\"business-date\""),
        "{first:?}"
    );
    let none = told(&["--cursor", path]).expect_code(0);
    assert_eq!(none.out, "");
    // One far ahead is no event's yet, and stays as it is.
    let saved = fs::read_to_string(&file).unwrap();
    let (_, whose) = saved.split_once(' ').unwrap();
    let ahead = format!("18446744073709551615.7 {whose}");
    fs::write(&file, &ahead).unwrap();
    assert_eq!(told(&["--cursor", path]).expect_code(0).out, "");
    assert_eq!(fs::read_to_string(&file).unwrap(), ahead);
    // Another's is not taken for one's own.
    fs::write(&file, saved.replace("admin", "alpha")).unwrap();
    let refused = told(&["--cursor", path]).expect_code(1);
    assert!(refused.err.contains("another member"), "{refused:?}");
    // A disk that takes no more ends it with an error, and what was not written is not counted as told.
    fs::remove_file(&file).unwrap();
    let ran = Command::new("sh")
        .arg("-c")
        .arg("\"$0\" --network \"$1\" --json events --cursor \"$2\" > /dev/full")
        .arg(network.programs().path("sealbook"))
        .arg(network.folder())
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("error: standard output: "), "{said}");
    assert!(!file.exists());
    let text = network.sealbook(&["events"]).expect_code(0);
    assert!(text.out.contains("business-date  open-day"), "{text:?}");
}
