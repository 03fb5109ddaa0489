//! What this machine says of itself, for templates.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::PathBuf;

/// Where it is looked up: the machine's files below a root, its network and the process's environment.
#[derive(Clone, Debug)]
pub struct Host {
    pub root: PathBuf,
}

impl Default for Host {
    fn default() -> Self {
        Self { root: PathBuf::from("/") }
    }
}

impl Host {
    pub(super) fn hostname(&self) -> Result<String, String> {
        match self.line("proc/sys/kernel/hostname")?.as_str() {
            // Before anybody has set it.
            "(none)" => Err("this machine has no host name yet".into()),
            name => Ok(name.to_owned()),
        }
    }

    pub(super) fn machine_id(&self) -> Result<String, String> {
        match self.line("etc/machine-id")?.as_str() {
            // machine-id(5): what an image has that was not booted yet.
            "uninitialized" => Err("this machine has no id yet".into()),
            id => Ok(id.to_owned()),
        }
    }

    pub(super) fn boot_id(&self) -> Result<String, String> {
        self.line("proc/sys/kernel/random/boot_id")
    }

    /// The address from which this machine would send to one far away; IPv4 where it has both. Nothing is sent.
    pub(super) fn ip(&self) -> Result<String, String> {
        // Addresses for documentation (RFC 5737, RFC 3849) are in nobody's network, so the default route is taken.
        let ipv4 = || address(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?, "192.0.2.1:9");
        let ipv6 = || address(UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?, "[2001:db8::1]:9");
        ipv4().or_else(|_| ipv6()).map_err(|error| format!("this machine has no address to send from: {error}"))
    }

    pub(super) fn variable(&self, name: &str) -> Result<String, String> {
        match std::env::var(name) {
            Ok(value) => Ok(value),
            Err(std::env::VarError::NotPresent) => Err(format!("the environment has no {name}")),
            Err(std::env::VarError::NotUnicode(_)) => Err(format!("{name} is not text")),
        }
    }

    fn line(&self, path: &str) -> Result<String, String> {
        let path = self.root.join(path);
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        match text.trim() {
            "" => Err(format!("{} is empty", path.display())),
            line => Ok(line.to_owned()),
        }
    }
}

fn address(socket: UdpSocket, far: &str) -> std::io::Result<String> {
    socket.connect(far)?;
    Ok(socket.local_addr()?.ip().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_files_say_or_why_not() {
        let root = tempfile::tempdir().unwrap();
        let host = Host { root: root.path().to_owned() };
        assert!(host.hostname().unwrap_err().contains("hostname: No such file"));
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/sys/kernel/hostname", "(none)\n");
        assert!(host.hostname().unwrap_err().contains("no host name yet"));
        write("proc/sys/kernel/hostname", "node-7\n");
        assert_eq!(host.hostname().unwrap(), "node-7");
        write("etc/machine-id", "\n");
        assert!(host.machine_id().unwrap_err().contains("machine-id is empty"));
        write("etc/machine-id", "uninitialized\n");
        assert!(host.machine_id().unwrap_err().contains("no id yet"));
        write("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        assert_eq!(host.machine_id().unwrap().len(), 32);
        assert!(host.boot_id().is_err());
    }

    /// This machine may have no network; then that is said.
    #[test]
    fn an_address_or_why_there_is_none() {
        match Host::default().ip() {
            Ok(address) => assert!(address.parse::<std::net::IpAddr>().is_ok_and(|ip| !ip.is_unspecified())),
            Err(why) => assert!(why.contains("no address to send from"), "{why}"),
        }
    }
}
