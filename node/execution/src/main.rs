//! `sealbook-execution`: the execution module's process. Started by a node or by an attendant, never by hand; one socket on
//! descriptor 0 is all it has.
//!
//! ```text
//! sealbook-execution run MODULE-KEY WRAPPED-ROOT     execute a network (descriptor 0: socket to the host)
//! sealbook-execution found                           make the root of a new network (descriptor 0: socket)
//! sealbook-execution recover MODULE-KEY              recover a root from shares (descriptor 0: socket)
//! sealbook-execution keygen MODULE-KEY               make a module's own key; prints its public half in hex
//! sealbook-execution measure                         prints the SHA-256 of this program
//! sealbook-execution state MODULE-KEY NETWORK        prints a statement that this program runs, for the members of NETWORK
//! sealbook-execution attend SOCKET HOST-UID MODULE-KEY WRAPPED-ROOT
//!                                                    start modules as this user for a node that is another user
//! ```
//!
//! Key files are opened before the process shuts itself in and read after it; `keygen` and `state`, which nobody talks to, only
//! keep others from looking in. It ends when the host closes the socket
//! or breaks the protocol, and says nothing anywhere but on its socket. The attendant (`attend.rs`) is no module: its service
//! manager starts it, and it says on standard error what it does.

#![forbid(unsafe_code)]

mod attend;

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use sealbook_execution::custody::{Founding, MAX_FILE_BYTES, ModuleKey};
use sealbook_execution::keys::KeyError;
use sealbook_execution::lockdown::{self, SecretPage, ShutIn};
use sealbook_execution::rotation::Custodian;
use sealbook_execution::statement::{ModuleStatement, measure};
use sealbook_execution::{Engine, Restoring, recovery};
use sealbook_ledger::{
    Genesis, KeyRecord, MAX_RECORD_BYTES, RootFile, SnapshotManifest, opening_digest,
};
use sealbook_primitives::hash::Digest;
use sealbook_protocol::frame::{self, MODULE_FRAME_MAX};
use sealbook_protocol::module::{FromModule, SnapshotOffer, ToModule};
use sealbook_sealing::Suite;
use zeroize::Zeroizing;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    // What is no text becomes a word that nothing here is called.
    let arguments: Vec<&str> = arguments
        .iter()
        .map(|argument| argument.to_str().unwrap_or_default())
        .collect();
    let done = match arguments.as_slice() {
        ["keygen", file] => keygen(file),
        ["measure"] => measurement().and_then(|digest| print(&digest.to_string())),
        ["state", key, network] => state(key, network),
        ["recover", key] => socket().and_then(|stream| recover(stream, key)),
        ["found"] => socket().and_then(found),
        ["run", key, root] => socket().and_then(|stream| run(stream, key, root)),
        ["attend", arguments @ ..] => {
            attend::attend(arguments);
            None
        }
        _ => None,
    };
    if done.is_some() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn socket() -> Option<UnixStream> {
    // Whatever else was inherited goes first, so that the descriptors opened from here on are 3, 4 and 5.
    lockdown::close_inherited().ok()?;
    lockdown::silence().ok()?;
    let descriptor: OwnedFd = std::io::stdin().as_fd().try_clone_to_owned().ok()?;
    Some(UnixStream::from(descriptor))
}

/// Shuts the process in, or says why not: the operator has to know.
fn shut_in(stream: &mut UnixStream, keep_to: u32) -> Option<ShutIn> {
    match lockdown::shut_in(stream, keep_to) {
        Ok(shut_in) => Some(shut_in),
        Err(error) => {
            let reason = error.to_string();
            say(stream, &FromModule::Refused { reason })?;
            None
        }
    }
}

fn say(stream: &mut UnixStream, message: &FromModule) -> Option<()> {
    frame::write(stream, message, MODULE_FRAME_MAX).ok()
}

fn hear(stream: &mut UnixStream) -> Option<ToModule> {
    frame::read(stream, MODULE_FRAME_MAX).ok()
}

fn keygen(path: &str) -> Option<()> {
    lockdown::keep_to_itself().ok()?;
    let (secret, public) = ModuleKey::generate();
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .ok()?;
    file.write_all(&secret).ok()?;
    file.sync_all().ok()?;
    print(&hex(&public))
}

fn print(text: &str) -> Option<()> {
    std::io::stdout().write_all(text.as_bytes()).ok()
}

fn measurement() -> Option<Digest> {
    let program = File::open("/proc/self/exe").ok()?;
    measure(program).ok()
}

fn state(key: &str, network: &str) -> Option<()> {
    lockdown::keep_to_itself().ok()?;
    let network = Digest::from_hex(network).ok()?;
    let key = ModuleKey::read(&read_all(File::open(key).ok()?, MAX_FILE_BYTES)?).ok()?;
    let statement = ModuleStatement::sign(&key, network, measurement()?).encode();
    print(&hex(&statement))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn found(mut stream: UnixStream) -> Option<()> {
    let ShutIn { report, page } = shut_in(&mut stream, 3)?;
    say(&mut stream, &FromModule::Ready { lockdown: report })?;
    let ToModule::Found { suite, recovery } = hear(&mut stream)? else {
        return None;
    };
    let suite = Suite::from_number(suite)?;
    recovery.check().ok()?;
    let founding = Founding::begin_in(&page).ok()?;
    let founded = FromModule::Founded {
        opening_key: founding.opening_key(suite),
        share_commitments: founding.share_commitments(&recovery).ok()?,
    };
    say(&mut stream, &founded)?;
    let ToModule::Bind { genesis } = hear(&mut stream)? else {
        return None;
    };
    let genesis = Genesis::decode(&genesis).ok()?;
    let message = match founding.bind(&genesis) {
        Ok(record) => FromModule::Bound {
            record: record.encode(),
        },
        Err(error) => FromModule::Refused {
            reason: error.to_string(),
        },
    };
    say(&mut stream, &message)
}

fn recover(mut stream: UnixStream, key: &str) -> Option<()> {
    let key = File::open(key).ok()?;
    let ShutIn { report, page } = shut_in(&mut stream, 4)?;
    let mut key = ModuleKey::read(&read_all(key, MAX_FILE_BYTES)?).ok()?;
    key.move_to(&page).ok()?;
    say(&mut stream, &FromModule::Ready { lockdown: report })?;
    let ToModule::Recover {
        record,
        contributions,
    } = hear(&mut stream)?
    else {
        return None;
    };
    let recovered = KeyRecord::decode(&record)
        .map_err(|error| error.to_string())
        .and_then(|record| {
            recovery::recover(&key, &record, &contributions).map_err(|error| error.to_string())
        });
    let message = match recovered {
        Ok(file) => FromModule::Recovered {
            root_file: file.encode(),
        },
        Err(reason) => FromModule::Refused { reason },
    };
    say(&mut stream, &message)
}

fn read_all(mut file: File, most: usize) -> Option<Zeroizing<Vec<u8>>> {
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES));
    Read::take(&mut file, most as u64)
        .read_to_end(&mut content)
        .ok()?;
    Some(content)
}

fn run(mut stream: UnixStream, key: &str, root: &str) -> Option<()> {
    // Cedar measures this thread's stack when it first runs, which opens a file: it must have done so before the
    // process shuts itself in.
    sealbook_policies::PolicySet::load_default().ok()?;
    let (key, root) = (File::open(key).ok()?, File::open(root).ok()?);
    // Descriptors: 0 to 2 standard, 3 the socket again, 4 and 5 the key files.
    let ShutIn { report, page } = shut_in(&mut stream, 5)?;
    let (key, root) = (
        read_all(key, MAX_FILE_BYTES)?,
        read_all(root, MAX_RECORD_BYTES)?,
    );
    // The key files are closed by now: nothing but the socket is left.
    say(&mut stream, &FromModule::Ready { lockdown: report })?;
    let mut module = ModuleKey::read(&key).ok();
    if let Some(key) = &mut module {
        key.move_to(&page).ok()?;
    }
    drop(key);
    let (mut engine, known) = begin(&mut stream, module.as_ref(), &root, &page)?;
    let files = vec![RootFile::decode(&root).unwrap_or_default(), known];
    engine.set_custodian(Custodian::Module(module?, files), Some(Box::new(page)));
    engine.begin_session();
    for envelope in engine.words() {
        say(&mut stream, &FromModule::Carry { envelope })?;
    }
    say(&mut stream, &FromModule::from(&engine))?;
    loop {
        match hear(&mut stream)? {
            ToModule::Finalized {
                blocks,
                certificate,
            } => {
                execute(&mut engine, &mut stream, &blocks, &certificate)?;
            }
            ToModule::Query { ticket, envelope } => {
                let message = if engine.is_awake() {
                    match engine.answer(&envelope) {
                        Some(sealed) => FromModule::Answer { ticket, sealed },
                        None => FromModule::QueryRefused { ticket },
                    }
                } else {
                    FromModule::NotAwake { ticket }
                };
                say(&mut stream, &message)?;
            }
            // What is left of a snapshot that was refused.
            ToModule::SnapshotPiece { .. } => {}
            ToModule::Found { .. }
            | ToModule::Bind { .. }
            | ToModule::Recover { .. }
            | ToModule::Start { .. } => {
                let reason = "not in this session".to_owned();
                say(&mut stream, &FromModule::Refused { reason })?;
            }
        }
    }
}

/// Hears what to begin from, until something can be begun from. A refusal changes nothing: the host may offer an older
/// snapshot, or none. Pieces of a snapshot that was refused may be under way still; they are passed over.
fn begin(
    stream: &mut UnixStream,
    key: Option<&ModuleKey>,
    root: &[u8],
    page: &SecretPage,
) -> Option<(Engine, RootFile)> {
    let mut known = RootFile::default();
    let mut restoring: Option<Restoring> = None;
    loop {
        let begun = match hear(stream)? {
            ToModule::Start {
                genesis,
                offer,
                roots,
            } => {
                known = RootFile::decode(&roots).unwrap_or_default();
                start(&genesis, offer.as_ref(), key, [root, &roots], page)
            }
            ToModule::SnapshotPiece { sealed } => match restoring.take() {
                Some(restoring) => add(restoring, &sealed),
                None => continue,
            },
            _ => return None,
        };
        match begun {
            Ok(Begun::Engine(engine)) => return Some((*engine, known)),
            Ok(Begun::Restoring(more)) => restoring = Some(*more),
            Err(reason) => {
                restoring = None;
                say(stream, &FromModule::Refused { reason })?;
            }
        }
    }
}

/// How far a start has come.
enum Begun {
    Engine(Box<Engine>),
    Restoring(Box<Restoring>),
}

fn start(
    genesis: &[u8],
    offer: Option<&SnapshotOffer>,
    key: Option<&ModuleKey>,
    roots: [&[u8]; 2],
    page: &SecretPage,
) -> Result<Begun, String> {
    let genesis = Genesis::decode(genesis).map_err(|error| error.to_string())?;
    let key = key.ok_or("the key file is none")?;
    // Its own file, and what the ledger has for it. Either may be all that there is.
    let files = roots.map(RootFile::decode);
    let (key_epoch, opening) = match offer {
        Some(offer) => {
            let manifest = SnapshotManifest::decode(&offer.manifest);
            let manifest = manifest.map_err(|error| error.to_string())?;
            (manifest.key_epoch, manifest.opening)
        }
        None => {
            let opening = genesis.first_epoch().opening;
            (opening.key_epoch, opening_digest(&opening.public_key))
        }
    };
    let network = genesis.network();
    let mut found = Err(KeyError::NotGiven(key_epoch));
    for file in files.iter().flatten() {
        found = found.or_else(|_| key.open_root(&network, (key_epoch, &opening), file));
    }
    let mut keys = found.map_err(|error| match &files {
        // What is wrong with the file says more than that nothing was found.
        [Err(damage), _] => format!("root file: {damage}"),
        _ => error.to_string(),
    })?;
    keys.move_root(page).map_err(|error| error.to_string())?;
    match offer {
        Some(offer) => Engine::restore(genesis, keys, offer)
            .map(|restoring| Begun::Restoring(Box::new(restoring)))
            .map_err(|error| error.to_string()),
        None => Engine::new(genesis, keys)
            .map(|engine| Begun::Engine(Box::new(engine)))
            .map_err(|error| error.to_string()),
    }
}

fn add(mut restoring: Restoring, sealed: &[u8]) -> Result<Begun, String> {
    restoring.add(sealed).map_err(|error| error.to_string())?;
    if !restoring.is_complete() {
        return Ok(Begun::Restoring(Box::new(restoring)));
    }
    let engine = restoring.finish().map_err(|error| error.to_string())?;
    Ok(Begun::Engine(Box::new(engine)))
}

fn execute(
    engine: &mut Engine,
    stream: &mut UnixStream,
    blocks: &[Vec<u8>],
    certificate: &[u8],
) -> Option<()> {
    let mut said = Some(());
    let result = engine.execute_each(blocks, certificate, |output| {
        let message = FromModule::from(output);
        // A host that no longer listens ends the process after this run of blocks.
        said = said.and_then(|()| say(stream, &message));
    });
    said?;
    match result {
        Ok(()) => Some(()),
        Err(error) => say(stream, &error.into()),
    }
}
