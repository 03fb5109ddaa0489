//! The three CRI calls that start a pod, without a kubelet: protobuf by hand, gRPC by curl over the unix socket.
//!
//! Field numbers: kubernetes `staging/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::host::run;

pub struct Cri {
    pub socket: PathBuf,
    pub directory: PathBuf,
}

pub struct Pod<'a> {
    pub name: &'a str,
    pub uid: &'a str,
    pub namespace: &'a str,
    pub log_directory: &'a Path,
}

/// Field `number` with bytes.
fn field(number: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}

/// Field `number` with a small integer.
fn small(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

impl Pod<'_> {
    fn config(&self) -> Vec<u8> {
        let metadata = [field(1, self.name), field(2, self.uid), field(3, self.namespace)].concat();
        // NamespaceOption.network = NODE: no CNI is needed.
        let security = field(1, small(1, 2));
        let parent = format!("/kubepods/burstable/pod{}", self.uid);
        let linux = [field(1, parent), field(2, security)].concat();
        let logs = self.log_directory.to_str().unwrap();
        [field(1, metadata), field(3, logs), field(8, linux)].concat()
    }
}

impl Cri {
    pub fn run_pod_sandbox(&self, pod: &Pod<'_>) -> String {
        self.call("RunPodSandbox", &field(1, pod.config()))
    }

    pub fn start_container(&self, pod: &Pod<'_>, sandbox: &str, name: &str, image: &str, script: &str) -> String {
        let log = format!("{name}/0.log");
        fs::create_dir_all(pod.log_directory.join(name)).unwrap();
        let command = ["/bin/sh", "-c", script].map(|word| field(3, word)).concat();
        let config = [field(1, field(1, name)), field(2, field(1, image)), command, field(11, log)].concat();
        let request = [field(1, sandbox), field(2, config), field(3, pod.config())].concat();
        let id = self.call("CreateContainer", &request);
        self.call("StartContainer", &field(1, &id));
        id
    }

    /// What a kubelet calls when it has moved the log file away.
    #[allow(dead_code, reason = "not every test rotates")]
    pub fn reopen_log(&self, container: &str) {
        self.call("ReopenContainerLog", &field(1, container));
    }

    pub fn remove_pod_sandbox(&self, sandbox: &str) {
        self.call("StopPodSandbox", &field(1, sandbox));
        self.call("RemovePodSandbox", &field(1, sandbox));
    }

    /// One unary call; returns the answer's field 1, a string in all answers that matter here.
    fn call(&self, method: &str, request: &[u8]) -> String {
        let mut frame = vec![0];
        frame.extend_from_slice(&(request.len() as u32).to_be_bytes());
        frame.extend_from_slice(request);
        let [body, answer, headers] = ["request", "answer", "headers"].map(|name| self.directory.join(name));
        fs::write(&body, frame).unwrap();
        let mut command = Command::new("curl");
        command.args(["-sS", "--http2-prior-knowledge", "-H", "content-type: application/grpc", "-H", "te: trailers"]);
        command.arg("--data-binary").arg(format!("@{}", body.display()));
        command.arg("--unix-socket").arg(&self.socket).arg("-o").arg(&answer).arg("-D").arg(&headers);
        run(command.arg(format!("http://localhost/runtime.v1.RuntimeService/{method}")));
        let headers = fs::read_to_string(&headers).unwrap();
        assert!(headers.to_lowercase().contains("grpc-status: 0"), "{method}: {headers}");
        let answer = fs::read(&answer).unwrap();
        // Frame header (5), tag, length, string.
        match answer.get(5..7) {
            Some([0x0a, length]) => String::from_utf8(answer[7..7 + usize::from(*length)].to_vec()).unwrap(),
            _ => String::new(),
        }
    }
}
