//! Chromium over QUIC alone: what it asks goes to a UDP port behind which nothing listens on TCP.

use super::driver::python;
use super::*;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

/// How long a page may take.
const PAGE_MAX: Duration = Duration::from_secs(45);

/// A browser that speaks HTTP/3, where this machine has one.
fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let found = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    found.into_iter().find(|file| file.is_file())
}

/// Passes datagrams between whoever comes to `near` and the door at `far`.
async fn forward(near: UdpSocket, far: SocketAddr) {
    let near = Arc::new(near);
    let mut back: BTreeMap<SocketAddr, Arc<UdpSocket>> = BTreeMap::new();
    let mut answering = JoinSet::new();
    let mut datagram = vec![0; 65_536];
    loop {
        let (length, peer) = near.recv_from(&mut datagram).await.unwrap();
        let socket = match back.get(&peer) {
            Some(socket) => Arc::clone(socket),
            None => {
                let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
                socket.connect(far).await.unwrap();
                let (of_one, near) = (Arc::clone(&socket), Arc::clone(&near));
                answering.spawn(async move {
                    let mut datagram = vec![0; 65_536];
                    while let Ok(length) = of_one.recv(&mut datagram).await {
                        drop(near.send_to(&datagram[..length], peer).await);
                    }
                });
                back.insert(peer, Arc::clone(&socket));
                socket
            }
        };
        drop(socket.send(&datagram[..length]).await);
    }
}

/// The page: asks as a page in a browser does, and writes down what came.
fn page(port: u16, key: &str) -> String {
    let ask = Ask::bare(http::Method::POST, "/", body()).body;
    let ask = serde_json::to_string(std::str::from_utf8(&ask).unwrap()).unwrap();
    format!(
        r#"<!doctype html><meta charset="utf-8"><body>nothing yet<script>
(async () => {{
  const told = {{}};
  try {{
    const door = "https://localhost:{port}";
    const live = await fetch(door + "/health/liveness");
    told.liveness = [live.status, await live.text()];
    const headers = {{"authorization": "Bearer {key}", "content-type": "application/json"}};
    const answer = await fetch(door + "/v1/chat/completions", {{method: "POST", headers, body: {ask}}});
    const bytes = await answer.arrayBuffer();
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    told.status = answer.status;
    told.bytes = bytes.byteLength;
    told.sha256 = Array.from(digest, byte => byte.toString(16).padStart(2, "0")).join("");
  }} catch (error) {{ told.error = String(error); }}
  document.body.textContent = "TOLD" + JSON.stringify(told) + "END";
}})();
</script></body>"#
    )
}

fn body() -> String {
    json!({
        "model": "gpt-4o", "stream": true,
        "messages": [{"role": "user", "content": "Say what a weft is – naïvely, in 三 words."}],
    })
    .to_string()
}

fn browse(chromium: &Path, profile: &Path, port: u16, spki: &str, page: &Path) -> Command {
    let mut browser = weft_loadtest::mesh::process::command(chromium);
    browser
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-quic"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        // The page is of no origin that the door could know.
        .args(["--disable-web-security", "--virtual-time-budget=20000", "--dump-dom"])
        .arg(format!("--origin-to-force-quic-on=localhost:{port}"))
        .arg("--host-resolver-rules=MAP localhost 127.0.0.1")
        .arg(format!("--ignore-certificate-errors-spki-list={spki}"))
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    browser
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_streams_a_completion_over_quic() {
    let Some(chromium) = chromium() else {
        println!("NOT RUN: no chromium");
        return;
    };
    let world = world().await;
    let mut driver = python();
    let leaf = world.hub.data().join(weft_hub::app::CERTS_DIR).join("users.pem");
    driver.args(["--case", "spki", "--cert"]).arg(leaf);
    let told: Value = serde_json::from_slice(&driver.output().unwrap().stdout).unwrap();
    let spki = told["spki"].as_str().unwrap();

    let near = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = near.local_addr().unwrap().port();
    let mut forwarding = JoinSet::new();
    forwarding.spawn(forward(near, world.hub.users()));

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("page.html");
    std::fs::write(&file, page(port, &world.key.secret)).unwrap();
    let mut browser = browse(&chromium, &dir.path().join("profile"), port, spki, &file);
    let browsing = tokio::task::spawn_blocking(move || browser.output());
    let output = timeout(PAGE_MAX, browsing).await.expect("a page in time").unwrap().unwrap();
    let dom = String::from_utf8_lossy(&output.stdout);
    let told = dom.split_once("TOLD").and_then(|(_, rest)| rest.split_once("END"));
    let (told, _) = told.unwrap_or_else(|| {
        panic!("{dom}\n{}", String::from_utf8_lossy(&output.stderr));
    });
    let told: Value = serde_json::from_str(told).unwrap();
    println!("chromium: {told}");
    assert_eq!(told["liveness"], json!([200, "ok\n"]), "{told}");
    let record = last(&world).await;
    assert_eq!(told["status"], 200, "{told}");
    assert_eq!(told["bytes"], record.answer_bytes, "{told}");
    assert_eq!(told["sha256"].as_str(), record.answer_sha256.as_deref(), "{told}");
    assert_eq!(record.body_sha256.as_deref(), Some(&*sha256(body().as_bytes())));
    world.end().await.unwrap();
}
