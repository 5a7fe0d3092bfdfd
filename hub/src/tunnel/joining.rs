//! `weft-join/1`: an agent without a certificate asks to be taken in.

use super::Tunnels;
use async_trait::async_trait;
use std::fmt;
use weft_proto::codes::CloseCode;
use weft_proto::wire::join::{JoinAnswer, JoinRefusal, JoinRequest};
use weft_transport::Connection;
use weft_transport::{close, join};

/// Decides on requests to join.
#[async_trait]
pub trait Enrol: fmt::Debug + Send + Sync {
    /// Takes the agent in, or says why not. A key that is known gives the same agent again.
    async fn enrol(&self, request: JoinRequest) -> JoinAnswer;
}

impl Tunnels {
    /// Serves one joining connection: one request, one answer, then it is closed.
    pub(super) async fn join(&self, connection: Connection) {
        let remote = connection.remote_address();
        let code = match join::accept(&connection).await {
            Ok((request, answer)) => {
                let name = request.name.clone();
                let verdict = self.0.needs.enrol.enrol(request).await;
                match &verdict {
                    JoinAnswer::Joined { agent, .. } => {
                        tracing::info!(%agent, name, %remote, "agent joined");
                    }
                    JoinAnswer::Refused(refusal) => {
                        tracing::warn!(name, %remote, why = refusal.reason(), "join refused");
                        self.0.needs.metrics.refused(cause(*refusal));
                    }
                }
                if let Err(error) = answer.send(&verdict).await {
                    tracing::info!(%remote, %error, "join answer not delivered");
                }
                CloseCode::Done
            }
            Err(error) => {
                tracing::info!(%remote, %error, "join request not read");
                CloseCode::Malformed
            }
        };
        close::connection(&connection, code);
    }
}

const fn cause(refusal: JoinRefusal) -> &'static str {
    match refusal {
        JoinRefusal::UnknownToken => "join_unknown",
        JoinRefusal::Expired => "join_expired",
        JoinRefusal::Used => "join_used",
        JoinRefusal::BadRequest => "join_malformed",
        JoinRefusal::Revoked => "join_revoked",
        JoinRefusal::Unavailable => "join_store",
        JoinRefusal::UnknownKey => "join_unknown_key",
        JoinRefusal::Lapsed => "join_lapsed",
    }
}
