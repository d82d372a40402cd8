//! `sealbook ca token`, `serve` and `enrol`: certificates for whoever has a token.
//!
//! One message each way over TCP, each after its length (u32, little endian), and sealed under the token, so that the line
//! needs no protection of its own: who listens learns the token's number and two lengths.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sealbook_authority::{
    Authority, MESSAGE_BYTES_MAX, Promised, TOKEN_BYTES_MAX, Token, TokenError, certificate_request,
};
use sealbook_identity::{CertificateRequest, files};
use sealbook_primitives::secret::Secret32;
use sealbook_primitives::signature::SigningKey;
use serde_json::json;

use super::{hinted, open_ca};
use crate::error::{CliError, Exit, Result, doing};
use crate::members::now_ms;
use crate::network::{make_private_folder, write_private};
use crate::operations::{Context, time};
use crate::output;

/// How long a message may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How long its first bytes may.
const FIRST_LIMIT: Duration = Duration::from_secs(2);
/// The most holders that are served at a time, and of one address.
const AT_A_TIME_MAX: usize = 64;
const OF_ONE_ADDRESS_MAX: usize = 16;
/// How often a holder tries.
const TRIES: usize = 5;

/// `sealbook ca token`
pub(super) fn make(context: &Context, promised: Promised, out: &Path) -> Result<()> {
    if out.exists() {
        let text = format!("`{}` exists already", out.display());
        return Err(CliError::with_exit(Exit::Usage, text).hint("name another file with --out"));
    }
    let token = open_ca(context)?.make_token(promised).map_err(hinted)?;
    write_private(out, token.to_text().expose())?;
    let Promised {
        name,
        role,
        until_ms,
        ..
    } = &token.promised;
    let (shown, until) = (out.display(), time(*until_ms));
    context.say(
        &json!({"token": token.id(), "file": shown.to_string(), "name": name, "role": role.word(), "until": until}),
        &format!(
            "wrote {shown}: token {} certifies {name}, role {role}, once, until {until}; hand it over in confidence\n\
             the holder: sealbook ca enrol --token {shown} --at IP:PORT --out DIR; here: sealbook ca serve --listen IP:PORT",
            token.id()
        ),
    );
    Ok(())
}

/// `sealbook ca serve`: goes on until the process is ended.
pub(super) fn serve(context: &Context, address: SocketAddr) -> Result<()> {
    let authority = open_ca(context)?;
    let listener = TcpListener::bind(address).map_err(doing(address))?;
    let address = listener.local_addr().map_err(doing(address))?;
    context.say(
        &json!({"listening": address.to_string()}),
        &format!("certifying whoever comes with a token to {address}"),
    );
    let authority = Arc::new(authority);
    let (json, places) = (context.json, Arc::new(Places::default()));
    loop {
        let Ok((stream, from)) = listener.accept() else {
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        // Whoever comes when it is busy is sent away by a closed connection, and comes again.
        let Some(place) = Place::take(&places, from.ip()) else {
            continue;
        };
        let authority = Arc::clone(&authority);
        let attending = thread::Builder::new().spawn(move || {
            if let Err(error) = attend(&authority, stream, json) {
                output::problem(&error);
            }
            drop(place);
        });
        if let Err(error) = attending {
            output::problem(&CliError::new(format!("no thread for a holder: {error}")));
        }
    }
}

/// How many are served, by where they come from.
type Places = Mutex<BTreeMap<IpAddr, usize>>;

/// One of them; given back however it ends.
struct Place(Arc<Places>, IpAddr);

impl Place {
    fn take(places: &Arc<Places>, from: IpAddr) -> Option<Self> {
        let mut counts = places.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = counts.values().sum();
        let own = counts.entry(from).or_default();
        (all < AT_A_TIME_MAX && *own < OF_ONE_ADDRESS_MAX).then(|| {
            *own = own.saturating_add(1);
            Self(Arc::clone(places), from)
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.1) {
            *count = count.saturating_sub(1);
        }
        counts.retain(|_, count| *count > 0);
    }
}

/// One holder.
fn attend(authority: &Authority, mut stream: TcpStream, json: bool) -> Result<()> {
    // A holder that says nothing, or too much, or what no token opens, hears nothing.
    let Ok(message) = receive(&mut stream, true) else {
        return Ok(());
    };
    let Some(redeemed) = authority.redeem(&message, now_ms()).map_err(hinted)? else {
        return Ok(());
    };
    let Promised { name, role, .. } = &redeemed.promised;
    let again = redeemed.again;
    let said = match (&redeemed.refused, json) {
        (refused, true) => {
            json!({"name": name, "role": role.word(), "refused": refused}).to_string()
        }
        (None, false) if again => format!("gave {name}, role {role}, its certificate again"),
        (None, false) => format!("certified {name}, role {role}"),
        (Some(why), false) => format!("refused {name}, role {role}: {why}"),
    };
    output::line(said);
    // Who does not hear the answer asks again.
    let _ = send(&mut stream, &redeemed.answer);
    redeemed.failed.map_or(Ok(()), |error| Err(hinted(error)))
}

/// `sealbook ca enrol`
pub(super) fn enrol(context: &Context, token: &Path, at: SocketAddr, out: &Path) -> Result<()> {
    let hinted = |error: TokenError| {
        let hint = error.hint();
        CliError::new(error).hint(hint)
    };
    let text = files::read_secret(token, TOKEN_BYTES_MAX);
    let text = text.map_err(|error| CliError::new(&error).hint(error.hint()))?;
    let token = Token::read(&text).map_err(hinted)?;
    if !out.is_dir() {
        make_private_folder(out)?;
    }
    let request = request(&token, out)?;
    let sealed = token.request(&request).map_err(hinted)?;
    let answer = exchange(at, &sealed).map_err(|error| {
        CliError::new(format!("the CA at {at}: {error}")).hint(
            "is it `sealbook ca serve` there? It says nothing to who has no token of its own; try again, with the same \
             folder",
        )
    })?;
    let chain = token
        .answered(&sealed, &request, &answer, now_ms())
        .map_err(hinted)?;
    files::write_chain(&out.join("chain.pem"), &chain)
        .map_err(|error| CliError::new(&error).hint(error.hint()))?;
    let (shown, name, role) = (out.display(), &token.promised.name, token.promised.role);
    context.say(
        &json!({"folder": shown.to_string(), "name": name, "role": role.word()}),
        &format!("wrote key.pem and chain.pem of {name}, role {role}, in {shown}"),
    );
    Ok(())
}

/// The request for the key in a folder: the one that was made there before, if there is one, since a token is good for one.
fn request(token: &Token, folder: &Path) -> Result<String> {
    let (path, key) = (folder.join("request.pem"), folder.join("key.pem"));
    if path.is_file() {
        let text = files::read_text(&path, MESSAGE_BYTES_MAX).map_err(CliError::new)?;
        let request = CertificateRequest::from_pem(&text).map_err(CliError::new)?;
        let seed = files::read_private_key(&key)
            .map_err(|error| CliError::new(&error).hint(error.hint()))?;
        // Else the token would be used up for a key that is not here, or refused.
        if request.key != SigningKey::from_secret(&seed).verifying_key() || !token.is_for(&request)
        {
            let text = format!("`{}` is not for this key and this token", path.display());
            return Err(CliError::new(text).hint("name a new folder with --out"));
        }
        return Ok(text);
    }
    let seed = if key.exists() {
        files::read_private_key(&key).map_err(|error| CliError::new(&error).hint(error.hint()))?
    } else {
        let seed = Secret32::random();
        files::write_private_key(&key, &seed).map_err(CliError::new)?;
        seed
    };
    let Promised {
        network,
        name,
        role,
        organisation,
        lei,
        ..
    } = &token.promised;
    let request = certificate_request(name, organisation, *role, *lei, network, &seed);
    let request = request.map_err(hinted)?;
    files::write_text(&path, &request).map_err(CliError::new)?;
    Ok(request)
}

/// Asks, and again where it was busy.
fn exchange(at: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut tries = 1;
    loop {
        match exchange_once(at, message) {
            Err(_) if tries < TRIES => {
                tries += 1;
                thread::sleep(Duration::from_secs(1));
            }
            other => return other,
        }
    }
}

fn exchange_once(at: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&at, LIMIT)?;
    send(&mut stream, message)?;
    receive(&mut stream, false).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => io::Error::new(ErrorKind::UnexpectedEof, "no answer"),
        _ => error,
    })
}

fn send(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    stream.set_write_timeout(Some(LIMIT))?;
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    stream.write_all(&[&length.to_le_bytes(), message].concat())?;
    stream.flush()
}

/// One message, however slowly it comes, within the limit; who is asked does not wait long for its beginning.
fn receive(stream: &mut TcpStream, is_asked: bool) -> io::Result<Vec<u8>> {
    let (first, until) = (Instant::now() + FIRST_LIMIT, Instant::now() + LIMIT);
    let mut length = [0; 4];
    fill(stream, &mut length, if is_asked { first } else { until })?;
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::new(ErrorKind::InvalidData, "no message of a CA"));
    }
    let mut message = vec![0; length];
    fill(stream, &mut message, until)?;
    Ok(message)
}

fn fill(stream: &mut TcpStream, mut rest: &mut [u8], until: Instant) -> io::Result<()> {
    while !rest.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(rest) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => rest = rest.get_mut(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
