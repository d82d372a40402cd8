//! `sealbook-diverging-module run MODULE-KEY WRAPPED-ROOT`: takes the place of an execution module in a test and computes
//! other results than the network: it keys the leaves of its state with another key. It speaks the module's words
//! faithfully otherwise, and is not locked down.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use sealbook_execution::custody::ModuleKey;
use sealbook_execution::{Engine, Output};
use sealbook_ledger::Genesis;
use sealbook_primitives::secret::Secret32;
use sealbook_protocol::frame::{self, MODULE_FRAME_MAX};
use sealbook_protocol::module::{FromModule, ToModule};

fn say(stream: &mut UnixStream, message: &FromModule) {
    frame::write(stream, message, MODULE_FRAME_MAX).unwrap();
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [run, key, root] = arguments.as_slice() else {
        panic!("run MODULE-KEY WRAPPED-ROOT");
    };
    assert_eq!(run, "run");
    let (key, root) = (std::fs::read(key).unwrap(), std::fs::read(root).unwrap());
    let mut stream = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let lockdown = vec!["none: this is not the execution module".to_owned()];
    say(&mut stream, &FromModule::Ready { lockdown });
    let mut engine = None;
    // Ends with the host's end of the socket.
    while let Ok(message) = frame::read::<ToModule>(&mut stream, MODULE_FRAME_MAX) {
        match message {
            ToModule::Start { offer: Some(_), .. } => {
                let reason = "takes no snapshot".to_owned();
                say(&mut stream, &FromModule::Refused { reason });
            }
            ToModule::Start { genesis, .. } => {
                let genesis = Genesis::decode(&genesis).unwrap();
                let mut keys = ModuleKey::read(&key)
                    .unwrap()
                    .open_first_root(&genesis, &root)
                    .unwrap();
                keys.leaf = Secret32::new([7; 32]);
                let made = Engine::new(genesis, keys).unwrap();
                say(&mut stream, &FromModule::from(&made));
                engine = Some(made);
            }
            ToModule::Finalized {
                blocks,
                certificate,
            } => execute(engine.as_mut().unwrap(), &mut stream, &blocks, &certificate),
            ToModule::Query { ticket, .. } => {
                say(&mut stream, &FromModule::QueryRefused { ticket });
            }
            _ => {}
        }
    }
}

fn execute(engine: &mut Engine, stream: &mut UnixStream, blocks: &[Vec<u8>], certificate: &[u8]) {
    let result = engine.execute_each(blocks, certificate, |output| {
        if matches!(output, Output::Executed(_)) {
            say(stream, &output.into());
        }
    });
    if let Err(error) = result {
        say(stream, &error.into());
    }
}
