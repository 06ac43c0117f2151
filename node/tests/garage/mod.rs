//! Garage, an S3 server by others, with one node and one bucket in a temporary directory.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

pub(crate) const KEY_ID: &str = "GK070707070707070707070707";
pub(crate) const SECRET: &str = "0808080808080808080808080808080808080808080808080808080808080808";
pub(crate) const BUCKET: &str = "register";
pub(crate) const REGION: &str = "garage";

/// The process; it ends with this.
pub(crate) struct Garage {
    dir: TempDir,
    process: Child,
    port: u16,
}

const START: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

// === impl Garage ===

impl Garage {
    /// Starts what the environment names; it may not serve yet.
    pub(crate) fn start() -> Self {
        let binary = std::env::var_os("GARAGE").expect("GARAGE names the binary");
        let dir = tempfile::tempdir().unwrap();
        let [port, rpc] = free_ports();
        let config = dir.path().join("garage.toml");
        let text = format!(
            "metadata_dir = {:?}\ndata_dir = {:?}\ndb_engine = \"sqlite\"\nreplication_factor = 1\n\
             rpc_bind_addr = \"127.0.0.1:{rpc}\"\nrpc_public_addr = \"127.0.0.1:{rpc}\"\n\
             rpc_secret = \"{SECRET}\"\n\n[s3_api]\ns3_region = \"{REGION}\"\n\
             api_bind_addr = \"127.0.0.1:{port}\"\nroot_domain = \".s3.example\"\n",
            dir.path().join("meta"),
            dir.path().join("data"),
        );
        fs::write(&config, text).unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let process = Command::new(binary)
            .arg("-c")
            .arg(config)
            .args(["server", "--single-node", "--default-bucket"])
            .env("GARAGE_DEFAULT_ACCESS_KEY", KEY_ID)
            .env("GARAGE_DEFAULT_SECRET_KEY", SECRET)
            .env("GARAGE_DEFAULT_BUCKET", BUCKET)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("Garage starts");
        Self { dir, process, port }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// Waits until it serves.
    pub(crate) async fn wait(&self, serves: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !serves().await {
            let log = || fs::read_to_string(self.log()).unwrap_or_default();
            assert!(begun.elapsed() < START, "Garage does not serve:\n{}", log());
            tokio::time::sleep(LOOK).await;
        }
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }
}

impl Drop for Garage {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Ports that were free a moment ago.
fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|it| it.local_addr().unwrap().port())
}
