//! A TCP proxy in front of ClickHouse that misbehaves on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    Pass,
    /// Connections are closed at once.
    Refuse,
    /// Requests arrive and are carried out; the answers do not come back.
    LoseAnswers,
    /// The connection breaks in the midst of a request.
    CutRequests,
    /// Answers take this long: 300 ms.
    Slow,
}

const MODES: [Mode; 5] =
    [Mode::Pass, Mode::Refuse, Mode::LoseAnswers, Mode::CutRequests, Mode::Slow];

/// Forwards until it is dropped with its runtime.
pub struct Proxy {
    pub url: String,
    mode: Arc<AtomicU8>,
    /// Connections that were harmed.
    harmed: Arc<AtomicU32>,
}

impl Proxy {
    /// In front of the server at `url`, which is `http://host:port`.
    pub async fn start(url: &str) -> anyhow::Result<Self> {
        let upstream = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (mode, harmed) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicU32::new(0)));
        let state = (mode.clone(), harmed.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, upstream.clone(), state.clone()));
            }
        });
        Ok(Proxy { url, mode, harmed })
    }

    pub fn set(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::SeqCst);
    }

    pub fn harmed(&self) -> u32 {
        self.harmed.load(Ordering::SeqCst)
    }
}

type State = (Arc<AtomicU8>, Arc<AtomicU32>);

async fn forward(mut client: TcpStream, upstream: String, (mode, harmed): State) {
    let now = || MODES[usize::from(mode.load(Ordering::SeqCst))];
    let harm = || harmed.fetch_add(1, Ordering::SeqCst);
    let Ok(mut server) = TcpStream::connect(upstream).await else { return };
    let (mut request, mut answer) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut request) => match read {
                Ok(read) if read > 0 => {
                    let sent = match now() {
                        Mode::Refuse => 0,
                        Mode::CutRequests => read / 2,
                        _ => read,
                    };
                    if server.write_all(&request[..sent]).await.is_err() { return }
                    if sent < read {
                        harm();
                        drop(client);
                        return drain(server).await;
                    }
                }
                _ => return drain(server).await,
            },
            read = server.read(&mut answer) => match read {
                Ok(read) if read > 0 => {
                    match now() {
                        Mode::LoseAnswers => {
                            harm();
                            drop(client);
                            return drain(server).await;
                        }
                        Mode::Slow => { harm(); tokio::time::sleep(Duration::from_millis(300)).await }
                        _ => {}
                    }
                    if client.write_all(&answer[..read]).await.is_err() {
                        return drain(server).await;
                    }
                }
                _ => return,
            },
        }
    }
}

/// Sends no more and hears the server out. It is to suffer from requests that end early, not from
/// answers that nobody reads: on a broken pipe the embedded build ends as a whole.
async fn drain(mut server: TcpStream) {
    let mut answer = Vec::new();
    let _ = server.shutdown().await;
    let _ = tokio::time::timeout(Duration::from_secs(10), server.read_to_end(&mut answer)).await;
}
