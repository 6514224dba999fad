//! The programs that the services need.

use std::process::Command;

use crate::{
    error::{Result, ServicesError},
    process::{find_program, run},
};

const JAVA: u32 = 17;

struct Program {
    name: &'static str,
    wanted: &'static str,
    package: &'static str,
}

/// What fetching needs beside Java, and the launcher's compiler.
const PROGRAMS: [Program; 3] = [
    Program { name: "mvn", wanted: "Maven (mvn)", package: "maven" },
    Program { name: "npm", wanted: "npm", package: "npm" },
    Program { name: "cc", wanted: "a C compiler (cc)", package: "gcc" },
];

/// Names everything that lacks at once, with one line that installs it.
pub(crate) fn check() -> Result<()> {
    let java = java_version();
    let absent = PROGRAMS.iter().filter(|program| find_program(program.name).is_none());
    report(java, &absent.collect::<Vec<_>>())
}

/// The Java to run: that of `JAVA_HOME`, else the one on the `PATH`.
pub(crate) fn java() -> Command {
    match std::env::var_os("JAVA_HOME").filter(|home| !home.is_empty()) {
        Some(home) => Command::new(std::path::Path::new(&home).join("bin/java")),
        None => Command::new("java"),
    }
}

fn java_version() -> Option<u32> {
    // `--version` answers on stdout, `-version` on stderr.
    parse_java_version(&run(java().arg("--version")).ok()?)
}

/// The major version in the first line, like `openjdk 17.0.15 2025-04-15`.
fn parse_java_version(text: &str) -> Option<u32> {
    let version = text.lines().next()?.split_whitespace().nth(1)?;
    version.split(['.', '-', '+']).next()?.parse().ok()
}

fn report(java: Option<u32>, absent: &[&Program]) -> Result<()> {
    let java = match java {
        Some(version) if version >= JAVA => None,
        Some(version) => Some(format!("Java {JAVA} or later (found {version})")),
        None => Some(format!("Java {JAVA} or later")),
    };
    let java_package = java.iter().map(|_| "openjdk-17-jdk-headless");
    let packages = java_package.chain(absent.iter().map(|p| p.package)).collect::<Vec<_>>();
    if packages.is_empty() {
        return Ok(());
    }
    let install = format!("apt-get install -y {}", packages.join(" "));
    let missing = java.into_iter().chain(absent.iter().map(|p| p.wanted.to_owned())).collect();
    Err(ServicesError::Prerequisites { missing, install })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_versions_are_read() {
        assert_eq!(parse_java_version("openjdk 17.0.15 2025-04-15\nOpenJDK"), Some(17));
        assert_eq!(parse_java_version("java 21-ea 2023-09-19"), Some(21));
        assert_eq!(parse_java_version("openjdk 25+36"), Some(25));
        assert_eq!(parse_java_version(""), None);
    }

    #[test]
    fn everything_that_lacks_is_named_once() {
        let all: Vec<_> = PROGRAMS.iter().collect();
        assert_eq!(
            report(None, &all).unwrap_err().to_string(),
            "missing Java 17 or later, Maven (mvn), npm, a C compiler (cc): install with \
             `apt-get install -y openjdk-17-jdk-headless maven npm gcc`"
        );
        assert_eq!(
            report(Some(11), &[]).unwrap_err().to_string(),
            "missing Java 17 or later (found 11): install with \
             `apt-get install -y openjdk-17-jdk-headless`"
        );
        assert!(report(Some(21), &[]).is_ok());
    }
}
