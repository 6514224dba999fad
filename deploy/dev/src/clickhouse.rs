//! One ClickHouse server: the engine of the npm package chdb, run by a launcher of our own.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    cache,
    error::{AtPath, Result, ServicesError},
    home::Home,
    options::Options,
    ports::Ports,
    prerequisites,
    process::run,
    progress::Step,
    server::{self, Server, ServerStatus},
};

const LAUNCHER: &str = include_str!("../clickhouse/launcher.c");
const CONFIG: &str = include_str!("../clickhouse/config.xml");
const USERS: &str = include_str!("../clickhouse/users.xml");

/// The user that may do everything.
pub const USER: &str = "cebe";
/// Its password: it guards a loopback port, nothing else.
pub const PASSWORD: &str = "cebe";
/// The user of analysts, who may only read.
pub const READER: &str = "bi";
/// Its password.
pub const READER_PASSWORD: &str = "bi";
/// The database that the migration makes.
pub const DATABASE: &str = "cebe";

/// Listens, then keeps the program busy: it is clickhouse-local inside, which ends with its query.
const SERVE: &str = "SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; \
    SELECT sleepEachRow(0.5) FROM system.numbers FORMAT Null \
    SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0";

/// Starts ClickHouse unless it runs, waits until it answers, and gives its HTTP URL.
///
/// It keeps its data and, while they are free, its ports.
pub fn start(options: &Options) -> Result<String> {
    server::start::<ClickHouse>(options).map(ClickHouse::address)
}

/// Asks ClickHouse to end; kills it if it does not.
pub fn stop(options: &Options) -> Result<()> {
    server::stop::<ClickHouse>(options)
}

/// Kills ClickHouse, as a crash would.
pub fn kill(options: &Options) -> Result<()> {
    server::kill::<ClickHouse>(options)
}

/// ClickHouse as it is now.
pub fn status(options: &Options) -> Result<ServerStatus> {
    server::status::<ClickHouse>(options)
}

/// Runs a statement over HTTP at `url` and gives the answer as text.
pub fn query(url: &str, user: &str, password: &str, statement: &str) -> Result<String> {
    let failed = |message: String| ServicesError::ClickHouse { address: url.to_owned(), message };
    let address = url.strip_prefix("http://").and_then(|address| address.parse().ok());
    let address = address.ok_or_else(|| failed("not a URL like http://127.0.0.1:8123".into()))?;
    let (ok, answer) = post(address, (user, password), statement, Duration::from_secs(300))
        .map_err(|error| failed(error.to_string()))?;
    if ok { Ok(answer) } else { Err(failed(answer.trim().to_owned())) }
}

/// Posts a statement: whether it succeeded, and the answer.
fn post(
    address: SocketAddr,
    (user, password): (&str, &str),
    statement: &str,
    patience: Duration,
) -> std::io::Result<(bool, String)> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    // HTTP/1.0: the answer ends where the connection does.
    let request = format!(
        "POST /?wait_end_of_query=1 HTTP/1.0\r\nX-ClickHouse-User: {user}\r\n\
         X-ClickHouse-Key: {password}\r\nContent-Length: {}\r\n\r\n{statement}",
        statement.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    Ok((head.split(' ').nth(1) == Some("200"), body.to_owned()))
}

/// ClickHouse's library and the program that runs it.
pub(crate) struct ClickHouse {
    library: PathBuf,
    launcher: PathBuf,
}

impl Server for ClickHouse {
    const NAME: &'static str = "clickhouse";
    const VERSION: &'static str = "26.7.3-stable.1";
    const PORT_NAMES: [&'static str; 2] = ["http", "tcp"];
    const PORT_RANGE: RangeInclusive<u16> = 20_000..=29_999;

    fn install(cache: &Path, step: &Step) -> Result<Self> {
        let package = Package::of_this_machine();
        let name = format!("clickhouse-{}-{}", Self::VERSION, package.platform);
        let library = cache::entry(cache, &name, |dir| {
            prerequisites::check()?;
            step.say("fetching from the npm registry (178 MB, once)");
            package.fetch(dir, step)
        })?;
        let name =
            format!("clickhouse-launcher-{}-{}", package.platform, cache::short_hash(LAUNCHER));
        let launcher = cache::entry(cache, &name, |dir| {
            prerequisites::check()?;
            step.say("compiling the launcher");
            compile_launcher(dir)
        })?;
        Ok(Self { library: library.join("libchdb.so"), launcher: launcher.join("launcher") })
    }

    fn prepare(&self, _: &Options, home: &Home, [http, tcp]: Ports) -> Result<Command> {
        let config = CONFIG
            .replace("{{http_port}}", &http.to_string())
            .replace("{{tcp_port}}", &tcp.to_string());
        home.write("config.xml", &config)?;
        home.write("users.xml", USERS)?;
        let mut command = Command::new(&self.launcher);
        command.arg(&self.library).args(["--config-file=config.xml", "--path=data"]);
        command.arg(format!("--query={SERVE}"));
        Ok(command)
    }

    fn answers(ports: Ports, patience: Duration) -> bool {
        let address = (Ipv4Addr::LOCALHOST, ports[0]).into();
        post(address, (USER, PASSWORD), "SELECT 1", patience).is_ok_and(|(ok, _)| ok)
    }

    fn address(ports: Ports) -> String {
        format!("http://127.0.0.1:{}", ports[0])
    }
}

/// The npm package of a platform.
struct Package {
    platform: String,
    /// What `npm view PACKAGE@VERSION dist.integrity` prints.
    integrity: Option<&'static str>,
}

impl Package {
    fn of_this_machine() -> Self {
        let (processor, integrity) = match std::env::consts::ARCH {
            "x86_64" => (
                "x64",
                Some(
                    "sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==",
                ),
            ),
            "aarch64" => ("arm64", None),
            other => (other, None),
        };
        Self { platform: format!("{}-{processor}", std::env::consts::OS), integrity }
    }

    fn name(&self) -> String {
        format!("@chdb/lib-{}-gnu@{}", self.platform, ClickHouse::VERSION)
    }

    /// The integrity to insist on: the pinned one, or that of the user where none is pinned.
    fn expected(&self) -> Result<String> {
        let told = std::env::var("CEBE_DEV_CLICKHOUSE_INTEGRITY").ok();
        self.integrity.map(str::to_owned).or(told).ok_or_else(|| ServicesError::NoPin {
            platform: self.platform.clone(),
            package: self.name(),
        })
    }

    /// Brings the library into `dir`.
    fn fetch(&self, dir: &Path, step: &Step) -> Result<()> {
        let expected = self.expected()?;
        let mut npm = Command::new("npm");
        npm.args(["pack", "--silent", &self.name(), "--pack-destination"]).arg(dir);
        // Away from the package.json of whoever calls.
        let printed = run(npm.current_dir(dir))?;
        let tarball = dir.join(printed.lines().last().unwrap_or_default());
        step.say("verifying and unpacking");
        let actual = cache::integrity(&tarball)?;
        if actual != expected {
            return Err(ServicesError::Checksum { file: self.name(), actual, expected });
        }
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(&tarball).arg("-C").arg(dir);
        run(tar.args(["--strip-components=1", "package/libchdb.so"]))?;
        fs::remove_file(&tarball).at("delete", tarball)
    }
}

fn compile_launcher(dir: &Path) -> Result<()> {
    let source = dir.join("launcher.c");
    fs::write(&source, LAUNCHER).at("write", &source)?;
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-o"]).arg(dir.join("launcher")).arg(&source).arg("-ldl");
    run(&mut compiler).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_agrees_with_the_code() {
        assert_eq!(CONFIG.matches("{{").count(), 2);
        assert!(USERS.contains(&format!("ON {DATABASE}.*")));
        for (user, password) in [(USER, PASSWORD), (READER, READER_PASSWORD)] {
            let entry = USERS.split_once(&format!("<{user}>")).unwrap().1;
            assert!(entry.trim().starts_with(&format!("<password>{password}</password>")));
        }
    }

    #[test]
    fn unreachable_server_is_named() {
        let error = query("http://127.0.0.1:1", USER, PASSWORD, "SELECT 1").unwrap_err();
        assert!(error.to_string().starts_with("clickhouse at http://127.0.0.1:1: "));
        let error = query("localhost", USER, PASSWORD, "SELECT 1").unwrap_err();
        assert!(error.to_string().contains("not a URL"));
    }
}
