//! A TCP proxy that misbehaves on demand, for tests.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// What happens to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Nothing.
    Pass,
    /// They are closed at once.
    Refuse,
    /// Requests arrive and are carried out; the answers do not come back.
    LoseAnswers,
    /// They break in the midst of a request.
    CutRequests,
    /// They break in the midst of an answer.
    CutAnswers,
    /// Each piece of an answer takes 300 ms more.
    Slow,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Mode; 6] = [
        Mode::Pass,
        Mode::Refuse,
        Mode::LoseAnswers,
        Mode::CutRequests,
        Mode::CutAnswers,
        Mode::Slow,
    ];
}

const DELAY: Duration = Duration::from_millis(300);
/// How long a server is heard out by nobody.
const DRAIN: Duration = Duration::from_secs(10);
const PIECE_BYTES: usize = 65_536;

/// Forwards from a port on loopback until it is dropped. Connections outlive it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    upstream: SocketAddr,
    mode: AtomicU8,
    harmed: AtomicU32,
    closed: AtomicBool,
}

impl Proxy {
    /// Listens on a free port in front of `upstream`, which need not answer yet.
    ///
    /// # Errors
    /// There is no free port.
    pub fn start(upstream: SocketAddr) -> std::io::Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            upstream,
            mode: AtomicU8::new(Mode::Pass as u8),
            harmed: AtomicU32::new(0),
            closed: AtomicBool::new(false),
        });
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.closed.load(Ordering::SeqCst) {
                    return;
                }
                let state = shared.clone();
                thread::spawn(move || forward(client, &state));
            }
        });
        Ok(Proxy { address, state })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, for connections that are open too.
    pub fn set(&self, mode: Mode) {
        self.state.mode.store(mode as u8, Ordering::SeqCst);
    }

    /// How often a connection was harmed.
    pub fn harmed(&self) -> u32 {
        self.state.harmed.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::SeqCst);
        // Wakes the one that listens.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn mode(&self) -> Mode {
        Mode::ALL[usize::from(self.mode.load(Ordering::SeqCst))]
    }

    fn harm(&self) {
        self.harmed.fetch_add(1, Ordering::SeqCst);
    }
}

fn forward(client: TcpStream, state: &Arc<State>) {
    if state.mode() == Mode::Refuse {
        return state.harm();
    }
    let Ok(server) = TcpStream::connect(state.upstream) else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (Ok(to_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else { return };
    let shared = state.clone();
    thread::spawn(move || answers(from_server, to_client, &shared));
    requests(client, server, state);
}

/// Forwards until either side ends or a request is cut.
fn requests(mut client: TcpStream, mut server: TcpStream, state: &State) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(read @ 1..) = client.read(&mut piece) {
        let sent = match state.mode() {
            Mode::Refuse => 0,
            Mode::CutRequests => read / 2,
            _ => read,
        };
        let written = server.write_all(&piece[..sent]).is_ok();
        if sent < read {
            state.harm();
            let _ = client.shutdown(Shutdown::Both);
        }
        if sent < read || !written {
            break;
        }
    }
    end_requests(&server);
}

/// Sends no more and lets the server be heard out. It is to suffer from requests that end early, not
/// from answers that nobody reads: on a broken pipe the embedded ClickHouse ends as a whole.
fn end_requests(server: &TcpStream) {
    let _ = server.set_read_timeout(Some(DRAIN));
    let _ = server.shutdown(Shutdown::Write);
}

/// Forwards until the server ends; what the client does not get any more is read all the same.
fn answers(mut server: TcpStream, mut client: TcpStream, state: &State) {
    let mut piece = vec![0; PIECE_BYTES];
    let mut heard = true;
    while let Ok(read @ 1..) = server.read(&mut piece) {
        if !heard {
            continue;
        }
        let sent = match state.mode() {
            Mode::Refuse | Mode::LoseAnswers => 0,
            Mode::CutAnswers => read / 2,
            Mode::Slow => {
                state.harm();
                thread::sleep(DELAY);
                read
            }
            _ => read,
        };
        if sent < read {
            state.harm();
        }
        heard = client.write_all(&piece[..sent]).is_ok() && sent == read;
        if !heard {
            let _ = client.shutdown(Shutdown::Both);
            end_requests(&server);
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each request of two bytes with the same two.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || {
                    let mut request = [0; 2];
                    while stream.read_exact(&mut request).is_ok() {
                        stream.write_all(&request).unwrap();
                    }
                });
            }
        });
        address
    }

    /// What comes back through `proxy`.
    fn ask(proxy: &Proxy) -> Vec<u8> {
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        // A cut connection may refuse this already.
        let _ = stream.write_all(b"ab");
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    }

    #[test]
    fn each_mode_does_what_it_says() {
        let proxy = Proxy::start(echo()).unwrap();
        assert_eq!((ask(&proxy), proxy.harmed()), (b"ab".to_vec(), 0));
        for mode in [Mode::Refuse, Mode::LoseAnswers, Mode::CutRequests] {
            let before = proxy.harmed();
            proxy.set(mode);
            assert_eq!(ask(&proxy), b"", "{mode:?}");
            assert!(proxy.harmed() > before, "{mode:?}");
        }
        proxy.set(Mode::CutAnswers);
        assert_eq!(ask(&proxy), b"a");
        proxy.set(Mode::Slow);
        let begun = std::time::Instant::now();
        assert_eq!(ask(&proxy), b"ab");
        assert!(begun.elapsed() >= DELAY);
        proxy.set(Mode::Pass);
        assert_eq!(ask(&proxy), b"ab");
    }

    #[test]
    fn an_open_connection_is_harmed_too() {
        let proxy = Proxy::start(echo()).unwrap();
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        let mut answer = [0; 2];
        stream.write_all(b"ab").unwrap();
        stream.read_exact(&mut answer).unwrap();
        proxy.set(Mode::LoseAnswers);
        stream.write_all(b"cd").unwrap();
        assert!(stream.read_exact(&mut answer).is_err());
    }
}
