//! Light agents: tunnels from this one process that serve exchanges by themselves, without a vault
//! or a provider. What is measured with them is the hub's alone.
//!
//! An answer is as long as its request asks for; its bytes are one static block, so that it costs
//! this process nothing to have thousands of them stalled.

use super::idle::{Joined, Offer, Tunnel, open_one};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap};
use http::{HeaderValue, StatusCode};
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use weft_proto::wire::control::{AgentMessage, HubMessage};
use weft_proto::wire::head::AnswerHead;
use weft_transport::Endpoint;
use weft_transport::exchange::{self, AnswerWriter, Incoming, RequestReader};
use weft_transport::stream::StreamError;

/// Where an upload goes: it is read, hashed and told its digest.
pub(super) const UPLOAD: &str = "/v1/audio/transcriptions";
/// The header that asks for an event stream of one event each so many milliseconds.
pub(super) const PACED: &str = "x-bench-paced-ms";
/// Bytes of an answer that nobody is to read to its end: more than all windows on the way.
const ANSWER_BYTES: u64 = 4 * 1_024 * 1_024;
/// One event of such an answer, and what the block is made of.
const EVENT: &[u8] = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"slowly\"}}]}\n\n";
/// Bytes of one write.
const BLOCK_BYTES: usize = 16 * 1_024;

/// Light agents under way. Dropped, they are gone.
#[derive(Debug)]
pub(super) struct Light {
    _serving: JoinSet<()>,
}

impl Light {
    /// Opens a tunnel for each identity, with its offer, and serves what comes.
    ///
    /// # Errors
    /// Where a tunnel is refused.
    pub(super) async fn begin(
        endpoint: &Endpoint,
        joined: Vec<(Joined, Offer)>,
    ) -> anyhow::Result<Self> {
        let block = Bytes::from(EVENT.repeat(BLOCK_BYTES / EVENT.len()));
        let mut serving = JoinSet::new();
        for (joined, offer) in joined {
            let tunnel = open_one(endpoint, joined, offer).await?;
            let block = block.clone();
            serving.spawn(async move {
                if let Err(error) = serve(tunnel, block).await {
                    tracing::warn!("a light agent ended: {error:#}");
                }
            });
        }
        Ok(Self { _serving: serving })
    }
}

async fn serve(tunnel: Tunnel, block: Bytes) -> anyhow::Result<()> {
    let Tunnel { connection, mut sender, mut receiver } = tunnel;
    let control = async {
        loop {
            match receiver.next().await? {
                // A hub that hears nothing takes the tunnel for dead.
                HubMessage::Ping(number) => sender.send(&AgentMessage::Pong(number)).await?,
                HubMessage::Welcome(_)
                | HubMessage::Refuse(_)
                | HubMessage::Drain(_)
                | HubMessage::Revoked
                | HubMessage::Ledger(_)
                | HubMessage::Prices(_)
                | HubMessage::Ack(_)
                | HubMessage::Cosigned(_)
                | HubMessage::LedgerFault(_)
                | HubMessage::Unknown => {}
            }
        }
    };
    let exchanges = async {
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                Some(_) = running.join_next() => {}
                accepted = connection.accept_bi() => {
                    let (send, recv) = accepted?;
                    let block = block.clone();
                    running.spawn(async move {
                        // Most are given up by their users: that is what they are for.
                        drop(one(send, recv, block).await);
                    });
                }
            }
        }
    };
    tokio::select! {
        biased;
        ended = control => ended,
        ended = exchanges => ended,
    }
}

async fn one(
    send: quinn::SendStream,
    recv: quinn::RecvStream,
    block: Bytes,
) -> Result<(), StreamError> {
    let Incoming { head, body, mut answer } = exchange::accept(send, recv).await?;
    if head.target == UPLOAD {
        return hashed(body, &mut answer).await;
    }
    let paced = head.headers.get(PACED).and_then(|value| value.to_str().ok()?.parse().ok());
    whole(body).await?;
    answer.head(&told("text/event-stream")).await?;
    match paced {
        Some(millis) => {
            let (mut due, pace) = (Instant::now(), Duration::from_millis(millis));
            loop {
                answer.send(Bytes::from_static(EVENT)).await?;
                due += pace;
                tokio::time::sleep_until(due).await;
            }
        }
        None => {
            let mut sent = 0;
            while sent < ANSWER_BYTES {
                answer.send(block.clone()).await?;
                sent += block.len() as u64;
            }
            answer.finish(None).await
        }
    }
}

async fn whole(mut body: RequestReader) -> Result<(), StreamError> {
    while body.next().await?.is_some() {}
    Ok(())
}

/// Reads an upload, and answers with its length and its digest.
async fn hashed(mut body: RequestReader, answer: &mut AnswerWriter) -> Result<(), StreamError> {
    let (mut digest, mut bytes) = (Sha256::new(), 0);
    while let Some(read) = body.next().await? {
        digest.update(&read);
        bytes += read.len() as u64;
    }
    let digest = crate::provider::hex(&digest.finalize());
    answer.head(&told("application/json")).await?;
    let document = format!("{{\"text\":\"{digest}\",\"bytes\":{bytes}}}");
    answer.send(document.into()).await?;
    answer.finish(None).await
}

fn told(kind: &'static str) -> AnswerHead {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    AnswerHead { status: StatusCode::OK, headers, account_fault: false, framed: false }
}
