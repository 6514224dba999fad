//! The server around the router: what a connection may cost, whatever its peer does.

mod linger;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use linger::Lingering;

/// Connections at one time; more wait in the backlog of the socket.
const CONNECTIONS_MAX: usize = 1_024;
/// How long the head of a request may take to come whole; a connection without a request ends then, too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer may take nothing of an answer.
const TAKE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long requests under way may take to end once the server is told to.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// After an accept that failed: it is mostly for want of file descriptors, which others have to give back.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Serves `app` until `shutdown` is ready; requests under way are answered, for 5 s at most.
///
/// # Errors
/// None at present: an accept that fails is tried again.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    serve_within([HEAD_TIMEOUT, TAKE_TIMEOUT], listener, app, shutdown).await;
    Ok(())
}

async fn serve_within(
    [head_timeout, take_timeout]: [Duration; 2],
    listener: TcpListener,
    app: Router,
    shutdown: impl Future<Output = ()>,
) {
    // HTTP/1.1 alone: a server of both has to wait for the first bytes, and that wait has no limit.
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head_timeout);
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let open = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, seat) = tokio::select! {
            Some(next) = next(&listener, &seats) => next,
            () = &mut shutdown => break,
        };
        let service = TowerToHyperService::new(app.clone());
        let io = TokioIo::new(Lingering::new(stream, take_timeout));
        let connection = open.watch(http.serve_connection(io, service));
        tokio::spawn(async move {
            let _seat = seat;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke off");
            }
        });
    }
    drop(listener);
    // What is not answered by then is not answered.
    let _ = timeout(STOP_PATIENCE, open.shutdown()).await;
}

/// The next connection, once there is a seat for it.
async fn next(
    listener: &TcpListener,
    seats: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    // Nobody closes it.
    let seat = seats.clone().acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it an event of a stream may wait for the acknowledgement of the one before.
                let _ = stream.set_nodelay(true);
                return Some((stream, seat));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::time::Instant;

    use axum::body::Body;
    use axum::routing::{get, post};
    use tokio::sync::oneshot;
    use tokio_stream::StreamExt;

    use super::*;

    const HEAD: Duration = Duration::from_millis(300);
    const TAKE: Duration = Duration::from_millis(400);
    const LONGER: Duration = Duration::from_millis(700);

    /// More than the buffers of two sockets hold.
    const LARGE: usize = 64 << 20;

    async fn start() -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
        let late = || async {
            let parts = tokio_stream::iter(["one ", "two"]).then(async |part| {
                sleep(LONGER).await;
                Ok::<_, std::io::Error>(part)
            });
            Body::from_stream(parts)
        };
        let app = Router::new()
            .route("/echo", post(async |body: String| body))
            .route("/large", get(async || vec![b'x'; LARGE]))
            .route("/late", get(late));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let server = serve_within([HEAD, TAKE], listener, app, async {
            let _ = stopped.await;
        });
        (address, stop, tokio::spawn(server))
    }

    /// What comes back until the server closes, and how long that takes.
    fn told(address: SocketAddr, parts: &[&str], pause: Duration) -> (String, Duration) {
        let (started, mut text) = (Instant::now(), Vec::new());
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        for part in parts {
            stream.write_all(part.as_bytes()).unwrap();
            std::thread::sleep(pause);
        }
        stream.read_to_end(&mut text).unwrap();
        (String::from_utf8(text).unwrap(), started.elapsed())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_does_not_finish_a_head_is_cut_off() {
        let (address, _stop, _) = start().await;
        for half in ["", "G", "GET /late HTTP/1.1\r\nhost: x\r\nx: "] {
            let (text, took) = told(address, &[half], Duration::ZERO);
            assert!(!text.contains("200 OK"), "{half:?}: {text}");
            assert!((HEAD..HEAD * 10).contains(&took), "{half:?}: {took:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn slow_bodies_and_streams_are_not() {
        let (address, _stop, _) = start().await;
        let head =
            "POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\n\r\n";
        let (text, _) = told(address, &[head, "ab", "cd"], HEAD * 2);
        assert!(text.ends_with("abcd"), "{text}");
        let head = "GET /late HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let (text, _) = told(address, &[head], Duration::ZERO);
        assert!(text.contains("two"), "{text}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_sends_too_much_is_told_so() {
        let (address, _stop, _) = start().await;
        let head = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 20000000\r\n\r\n";
        let body = "x".repeat(20_000_000);
        let (text, _) = told(address, &[head, &body], Duration::ZERO);
        assert!(text.starts_with("HTTP/1.1 413"), "{text}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_takes_nothing_is_cut_off_and_whoever_is_slow_is_not() {
        let (address, _stop, _) = start().await;
        let read = |first: Duration, each: Duration| {
            let mut stream = TcpStream::connect(address).unwrap();
            let head = b"GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            stream.write_all(head).unwrap();
            std::thread::sleep(first);
            let (mut all, mut bytes) = (0, vec![0; LARGE / 16]);
            loop {
                std::thread::sleep(each);
                match stream.read(&mut bytes) {
                    Ok(read) if read > 0 => all += read,
                    _ => return all,
                }
            }
        };
        assert!(read(TAKE * 4, Duration::ZERO) < LARGE, "it was cut off");
        assert!(read(Duration::ZERO, TAKE / 40) > LARGE, "it came whole");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn requests_under_way_are_answered_when_it_stops() {
        let (address, stop, server) = start().await;
        let head = "GET /late HTTP/1.1\r\nhost: x\r\n\r\n";
        let asked = std::thread::spawn(move || told(address, &[head], Duration::ZERO));
        sleep(LONGER / 2).await;
        stop.send(()).unwrap();
        timeout(STOP_PATIENCE, server).await.unwrap().unwrap();
        assert!(asked.join().unwrap().0.contains("two"));
        assert!(TcpStream::connect(address).is_err());
    }
}
