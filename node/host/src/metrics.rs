//! Measurements for Prometheus: `GET /metrics` at an address of its own, over HTTP without TLS, for who may connect there.
//!
//! INVARIANT: what is said is about the node and its own certificate, what any member is told by `status`: no name, account,
//! instrument or caller is a metric or a label.

use std::convert::Infallible;
use std::io;
use std::net::{self, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sealbook_protocol::client::NodeStatus;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::api::Service;

const CONNECTIONS_MAX: usize = 16;
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// How long a connection may last, whatever it does.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);
const FORMAT: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Listens at `address`, if there is one.
///
/// # Errors
/// It cannot be listened at.
pub fn listen(address: Option<SocketAddr>) -> io::Result<Option<net::TcpListener>> {
    let listen = |address| {
        let listener = net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    address.map(listen).transpose()
}

/// Serves measurements, if it listens, until the task is dropped.
///
/// # Errors
/// The listener cannot be used.
pub async fn serve(service: Arc<Service>, listener: Option<net::TcpListener>) -> io::Result<()> {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let listener = TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let service = Arc::clone(&service);
        tokio::spawn(async move {
            let answered = service_fn(|request| {
                let response = answer(&service, &request);
                async { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(CONNECTION_LIMIT)
                .max_buf_size(REQUEST_BYTES_MAX)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), answered);
            let _ = tokio::time::timeout(CONNECTION_LIMIT, connection).await;
            drop(place);
        });
    }
}

fn answer(service: &Service, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    if request.uri().path() != "/metrics" {
        *response.status_mut() = StatusCode::NOT_FOUND;
    } else if request.method() != Method::GET {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    } else if let Ok(text) = exposition(&service.status()) {
        response.headers_mut().insert(CONTENT_TYPE, FORMAT);
        *response.body_mut() = Full::from(text);
    } else {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    response
}

/// A node's status in the text format of OpenMetrics.
fn exposition(status: &NodeStatus) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("sealbook");
    let mut gauge = |name: &str, help: &str, value: u64| {
        let gauge: Gauge = Gauge::default();
        gauge.set(whole(value));
        registry.register(name, help, gauge);
    };
    let flag = |holds: bool| u64::from(holds);
    gauge("height", "Newest final block", status.height);
    gauge(
        "block_time_seconds",
        "Ledger time of the newest final block",
        status.time_ms / 1_000,
    );
    gauge(
        "executed_height",
        "Newest block that the execution module has executed",
        status.executed_height,
    );
    gauge(
        "final_height",
        "Newest height whose results a final block commits to",
        status.final_height,
    );
    gauge("epoch", "Committee epoch", status.epoch);
    gauge("peers", "Links to other nodes", u64::from(status.peers));
    gauge(
        "waiting",
        "Transactions that wait to be ordered",
        u64::from(status.waiting),
    );
    gauge(
        "voting",
        "1 if it votes as a validator",
        flag(status.validator && status.not_voting.is_none()),
    );
    gauge(
        "halted",
        "1 if it executes no longer",
        flag(status.halted.is_some()),
    );
    gauge(
        "certificate_not_after_seconds",
        "When the first certificate of the node's chain ends",
        status.certificate_ends_ms / 1_000,
    );
    let lists: Family<[(String, String); 1], Gauge> = Family::default();
    for (role, next_update_ms) in &status.lists {
        let labels = [("role".to_owned(), role.clone())];
        let until = lists.get_or_create(&labels);
        until.set(whole(next_update_ms / 1_000));
    }
    registry.register(
        "revocation_list_next_update_seconds",
        "Until when the revocation list of a role's issuing authority is in force",
        lists,
    );
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
