//! Counters told over HTTP, in the text format of Prometheus (version 0.0.4), and whether all is well. In: the counts of flows. Out: answers
//! to `/metrics` and `/healthz`. Nothing of any message; nothing is taken from whoever asks.

use std::{
    convert::Infallible,
    fmt::Write,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use flow::delivery::Counts;
#[cfg(feature = "forward")]
use flow::forward::Obstacle;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};

use crate::failure::{DoingWhat, Exit, Failure};

/// What is told of.
#[derive(Default)]
pub struct Board {
    flows: Mutex<Vec<Shown>>,
    #[cfg(feature = "forward")]
    queues: Mutex<Vec<(String, Arc<flow::forward::Counts>)>>,
}

/// A flow's name, counts and health.
type Shown = (String, Arc<Counts>, Arc<flow::delivery::Health>);

/// Askers that are answered at once; further ones wait.
const AT_ONCE: usize = 32;
/// How long one may take to ask.
const PATIENCE: Duration = Duration::from_secs(10);

impl Board {
    /// Tells of another flow from now on.
    pub fn add(&self, name: &str, counts: Arc<Counts>, health: Arc<flow::delivery::Health>) {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner).push((name.to_owned(), counts, health));
    }

    /// Tells of another queue from now on.
    #[cfg(feature = "forward")]
    pub fn add_queue(&self, name: &str, counts: Arc<flow::forward::Counts>) {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).push((name.to_owned(), counts));
    }

    /// What `/metrics` says.
    pub fn metrics(&self) -> String {
        let flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        let all: Vec<_> = flows.iter().map(|(name, counts, _)| (label(name), counts.totals())).collect();
        family(&mut text, "sealpost_copies_total", "counter", "Copies by what became of them, one for each recipient.");
        for (flow, totals) in &all {
            for (code, count) in &totals.outcomes {
                line(&mut text, "sealpost_copies_total", flow, Some(("outcome", code.as_str())), *count);
            }
        }
        family(&mut text, "sealpost_troubles_total", "counter", "Copies that could not be sealed, by why.");
        for (flow, totals) in &all {
            for (code, count) in &totals.troubles {
                line(&mut text, "sealpost_troubles_total", flow, Some(("reason", code.as_str())), *count);
            }
        }
        type Read = fn(&flow::delivery::Totals) -> u64;
        let singles: [(&str, &str, Read); 6] = [
            ("sealpost_original_bytes_total", "Octets of messages that were taken.", |totals| totals.octets),
            ("sealpost_sealings_total", "Sealings, also those that failed.", |totals| totals.sealings),
            ("sealpost_hop_refusals_total", "Copies that the next server refused.", |totals| totals.refused_by_hop),
            ("sealpost_hop_losses_total", "Copies that did not reach the next server.", |totals| totals.hop_lost),
            (
                "sealpost_unknown_ends_total",
                "Copies that the next server may have without having said so; their messages come again.",
                |totals| totals.unknown_ends,
            ),
            ("sealpost_sessions_total", "Sessions that were begun.", |totals| totals.sessions),
        ];
        for (name, help, read) in singles {
            family(&mut text, name, "counter", help);
            for (flow, totals) in &all {
                line(&mut text, name, flow, None, read(totals));
            }
        }
        family(&mut text, "sealpost_sealing_seconds_total", "counter", "Time spent sealing, all cores together.");
        for (flow, totals) in &all {
            let seconds = totals.sealing.as_secs_f64();
            let _ = writeln!(text, "sealpost_sealing_seconds_total{{flow=\"{flow}\"}} {seconds:.6}");
        }
        drop(flows);
        #[cfg(feature = "forward")]
        text.push_str(&self.queues());
        text
    }

    #[cfg(feature = "forward")]
    fn queues(&self) -> String {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<_> = queues.iter().map(|(name, counts)| (label(name), counts.totals())).collect();
        let mut text = String::new();
        if all.is_empty() {
            return text;
        }
        let name = "sealpost_forwarded_total";
        family(&mut text, name, "counter", "Messages and copies of a forwarder, by what happened to them.");
        for (flow, totals) in &all {
            for (code, count) in &totals.events {
                line(&mut text, name, flow, Some(("event", code.as_str())), *count);
            }
        }
        let name = "sealpost_refusals_total";
        family(&mut text, name, "counter", "Messages that a forwarder did not take, by why.");
        for (flow, totals) in &all {
            for (code, count) in &totals.refusals {
                line(&mut text, name, flow, Some(("reason", code.as_str())), *count);
            }
        }
        let name = "sealpost_obstacle";
        family(&mut text, name, "gauge", "1: this stands in the way of what a forwarder hands on.");
        for (flow, totals) in &all {
            for obstacle in Obstacle::ALL {
                let met = totals.plight.is_some_and(|plight| plight.obstacle == obstacle);
                line(&mut text, name, flow, Some(("reason", obstacle.code().as_str())), u64::from(met));
            }
        }
        type Read = fn(&flow::forward::Totals) -> u64;
        let gauges: [(&str, &str, Read); 3] = [
            ("sealpost_queue_waiting", "Copies in the queue that are to be handed on.", |totals| totals.waiting),
            ("sealpost_queue_failed", "Copies in the queue that wait for somebody to decide.", |totals| totals.failed),
            ("sealpost_queue_bytes", "Octets of both.", |totals| totals.octets),
        ];
        for (name, help, read) in gauges {
            family(&mut text, name, "gauge", help);
            for (flow, totals) in &all {
                line(&mut text, name, flow, None, read(totals));
            }
        }
        text
    }

    /// What stands in the way of flows.
    #[cfg(feature = "forward")]
    fn obstacles(&self) -> Vec<String> {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let told = queues.iter().filter_map(|(name, counts)| {
            let standing = crate::obstacles::Standing::of(counts.totals().plight?);
            Some(format!("flow {name}: {}; {}\n", standing.sentence(), standing.hint()))
        });
        told.collect()
    }

    /// What is not well; `None`: nothing.
    pub fn ill(&self) -> Option<String> {
        let flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        let ill: Vec<String> = flows
            .iter()
            .filter_map(|(name, _, health)| health.ill().map(|why| format!("flow {name}: {why}\n")))
            .collect();
        #[cfg(feature = "forward")]
        let ill = [ill, self.obstacles()].concat();
        (!ill.is_empty()).then(|| ill.concat())
    }
}

/// Answers until the program ends. Fails when the address cannot be had.
pub fn serve(listen: SocketAddr, board: Arc<Board>) -> Result<(), Failure> {
    let socket = std::net::TcpListener::bind(listen)
        .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
        .doing(Exit::Unavailable, format_args!("cannot listen at {listen} for metrics"))
        .map_err(|failure| failure.hint("is another program there? choose another address in [metrics]"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.doing(Exit::Unavailable, "cannot begin")?;
    std::thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(move || runtime.block_on(accept(socket, board)))
        .doing(Exit::Unavailable, "cannot begin a thread")?;
    Ok(())
}

async fn accept(socket: std::net::TcpListener, board: Arc<Board>) {
    let Ok(socket) = TcpListener::from_std(socket) else { return };
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = socket.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let board = Arc::clone(&board);
        tokio::spawn(async move {
            let answer = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&board, &request))));
            let mut connection = http1::Builder::new();
            connection.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false);
            let served = connection.serve_connection(TokioIo::new(stream), answer);
            let _ = tokio::time::timeout(PATIENCE, served).await;
            drop(place);
        });
    }
}

fn answer(board: &Board, request: &Request<hyper::body::Incoming>) -> Response<Full<Bytes>> {
    let (status, text) = match request.uri().path() {
        "/metrics" => (StatusCode::OK, board.metrics()),
        "/healthz" => match board.ill() {
            None => (StatusCode::OK, "well\n".to_owned()),
            Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
        },
        _ => (StatusCode::NOT_FOUND, "there are /metrics and /healthz\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
    response
}

fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, flow: &str, more: Option<(&str, &str)>, value: u64) {
    let more = more.map(|(label, value)| format!(",{label}=\"{value}\"")).unwrap_or_default();
    let _ = writeln!(text, "{name}{{flow=\"{flow}\"{more}}} {value}");
}

/// A name as it may stand between quotes.
fn label(name: &str) -> String {
    name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
