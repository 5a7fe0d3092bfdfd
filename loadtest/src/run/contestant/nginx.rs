//! nginx: TLS ended and taken up again, once or twice. The floor for anything with as many hops.
//!
//! Set up for the least it can do per request: no log, no buffering of answers or questions,
//! connections to what is behind it kept open, one worker for each core as it does by itself.

use super::super::peers::Peer;
use super::super::site::Side;
use super::{ANY_KEY, Contestant, Door, Ground, MODEL, Member, Name};
use crate::mesh::process::command;
use std::path::{Path, PathBuf};
use weft_certs::Authority;
use weft_proto::entropy::OsEntropy;
use weft_proto::ids::HubId;
use weft_proto::time::SystemClock;

/// Seconds that it may take to listen.
const READY_SECONDS: u64 = 10;
/// Connections to what is behind it that are kept, for each worker.
const KEPT: u32 = 512;

/// What a hop passes requests on to.
enum Behind {
    /// Plain HTTP on this port.
    Provider(u16),
    /// TLS on this port.
    Hop(u16),
}

/// One or two hops, all on the users' side.
///
/// # Errors
/// Where it is not installed or does not come up.
pub(crate) async fn bring_up(ground: &Ground<'_>, hops: usize) -> anyhow::Result<Contestant> {
    let program = ground.stage.peers.program(Peer::Nginx)?;
    let certs = ground.file("certs");
    let id = HubId::generate(&SystemClock, &OsEntropy);
    drop(Authority::create(&certs, id, &[], &SystemClock, &OsEntropy)?);
    let mut behind = Behind::Provider(ground.provider.port());
    let mut members: Vec<Member> = Vec::new();
    let mut port = 0;
    for hop in (1..=hops).rev() {
        port = ground.site.port(Side::Server)?;
        let role = if hop == 1 { "nginx-front" } else { "nginx-back" };
        let folder = ground.file(role);
        std::fs::create_dir_all(&folder)?;
        let file = write(&folder, &certs, port, &behind)?;
        let mut serve = command(&program);
        serve.arg("-p").arg(&folder).arg("-e").arg(folder.join("error.log")).arg("-c").arg(file);
        members.insert(0, ground.server(Side::Server, role, serve, port, READY_SECONDS).await?);
        behind = Behind::Hop(port);
    }
    let door = Door {
        url: format!("https://127.0.0.1:{port}"),
        ca: Some(certs.join("ca.pem")),
        key: ANY_KEY.to_owned(),
        model: MODEL,
        sim: "header",
        headers: Vec::new(),
    };
    let name = if hops == 1 { Name::OneHop } else { Name::TwoHops };
    Ok(Contestant { name, door, members })
}

fn write(folder: &Path, certs: &Path, port: u16, behind: &Behind) -> std::io::Result<PathBuf> {
    let (next, scheme, more) = match behind {
        Behind::Provider(port) => (port, "http", String::new()),
        Behind::Hop(port) => {
            let more = format!(
                "proxy_ssl_trusted_certificate {}; proxy_ssl_verify on; \
                 proxy_ssl_name localhost; proxy_ssl_protocols TLSv1.3; proxy_ssl_session_reuse on;",
                certs.join("ca.pem").display()
            );
            (port, "https", more)
        }
    };
    let (chain, key) = (certs.join("users.pem"), certs.join("users.key"));
    let at = folder.display();
    let text = format!(
        "daemon off;\nuser root;\nworker_processes auto;\npid {at}/pid;\nerror_log {at}/error.log error;\n\
         worker_rlimit_nofile 16384;\nevents {{ worker_connections 8192; }}\n\
         http {{\n  access_log off;\n  client_body_temp_path {at}/body;\n  proxy_temp_path {at}/proxy;\n\
         fastcgi_temp_path {at}/f;\n  uwsgi_temp_path {at}/u;\n  scgi_temp_path {at}/s;\n\
         client_max_body_size 128m;\n  keepalive_requests 1000000;\n  tcp_nodelay on;\n\
         upstream next {{ server 127.0.0.1:{next}; keepalive {KEPT}; keepalive_requests 1000000; }}\n\
         server {{\n    listen 127.0.0.1:{port} ssl backlog=4096;\n    server_name localhost;\n\
         ssl_certificate {};\n    ssl_certificate_key {};\n    ssl_protocols TLSv1.3;\n\
         location / {{\n      proxy_pass {scheme}://next;\n      proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\";\n      proxy_set_header Host $host;\n\
         proxy_buffering off;\n      proxy_request_buffering off;\n      {more}\n    }}\n  }}\n}}\n",
        chain.display(),
        key.display(),
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, text)?;
    Ok(file)
}
