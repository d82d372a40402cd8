//! `sealbook ca token`, `serve` and `enrol`: certificates for whoever has a token.
//!
//! One message each way over TCP, each after its length (u32, little endian), and sealed under the token, so that the line
//! needs no protection of its own: who listens learns the token's number and two lengths.

use std::io::{self, ErrorKind, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sealbook_authority::{
    Authority, MESSAGE_BYTES_MAX, Promised, TOKEN_BYTES_MAX, Token, TokenError, certificate_request,
};
use sealbook_identity::files;
use sealbook_primitives::secret::Secret32;
use serde_json::json;

use super::{hinted, open_ca};
use crate::error::{CliError, Exit, Result, doing};
use crate::members::now_ms;
use crate::network::{make_private_folder, write_private};
use crate::operations::{Context, time};
use crate::output;

/// How long a message may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The most holders that are served at a time.
const AT_A_TIME_MAX: usize = 32;

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
    // Once, so that a CA that does not open is an error of the command.
    open_ca(context)?;
    let listener = TcpListener::bind(address).map_err(doing(address))?;
    let address = listener.local_addr().map_err(doing(address))?;
    context.say(
        &json!({"listening": address.to_string()}),
        &format!("certifying whoever comes with a token to {address}"),
    );
    let (folder, json) = (context.files()?.ca(), context.json);
    let folder: Arc<Path> = Arc::from(folder.as_path());
    let busy = Arc::new(AtomicUsize::new(0));
    loop {
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        // Whoever comes when it is busy is sent away by a closed connection, and comes again.
        if busy.load(Ordering::Acquire) >= AT_A_TIME_MAX {
            continue;
        }
        busy.fetch_add(1, Ordering::AcqRel);
        let (folder, leaves) = (Arc::clone(&folder), Leaves(Arc::clone(&busy)));
        thread::spawn(move || {
            if let Err(error) = attend(&folder, stream, json) {
                output::problem(&error);
            }
            drop(leaves);
        });
    }
}

/// Counts who leaves, however it does.
struct Leaves(Arc<AtomicUsize>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One holder.
fn attend(folder: &Path, mut stream: TcpStream, json: bool) -> Result<()> {
    // A holder that says nothing, or too much, or what no token opens, hears nothing.
    let Ok(message) = receive(&mut stream) else {
        return Ok(());
    };
    let authority = Authority::open(folder).map_err(hinted)?;
    let Some(redeemed) = authority.redeem(&message, now_ms()).map_err(hinted)? else {
        return Ok(());
    };
    let Promised { name, role, .. } = &redeemed.promised;
    let said = match (&redeemed.refused, json) {
        (refused, true) => {
            json!({"name": name, "role": role.word(), "refused": refused}).to_string()
        }
        (None, false) => format!("certified {name}, role {role}"),
        (Some(why), false) => format!("refused {name}, role {role}: {why}"),
    };
    output::line(said);
    // Who does not hear the answer asks again.
    let _ = send(&mut stream, &redeemed.answer);
    Ok(())
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
    let path = folder.join("request.pem");
    if path.is_file() {
        return files::read_text(&path, MESSAGE_BYTES_MAX).map_err(CliError::new);
    }
    let key = folder.join("key.pem");
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

fn exchange(at: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&at, LIMIT)?;
    send(&mut stream, message)?;
    receive(&mut stream).map_err(|error| match error.kind() {
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

/// One message, however slowly it comes, within the limit.
fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let until = Instant::now() + LIMIT;
    let mut length = [0; 4];
    fill(stream, &mut length, until)?;
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
