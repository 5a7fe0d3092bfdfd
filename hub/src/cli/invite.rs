//! `weft-hub invite`: the line by which an owner's agent joins.

use super::client::AdminClient;
use super::output::Output;
use super::span::Span;
use weft_hub::admin::{AddedInvite, NewInvite};

/// Write an invite for one agent, and print its line: the only time that it is shown
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weft-hub invite --owner bob --expires 1h > invite.txt")]
pub(super) struct Invite {
    /// Name of the owner whose agent may join; made where there is none
    #[arg(long, value_name = "NAME")]
    owner: String,
    /// How long it may be used, such as 1h; a day where not given, 30 days at most
    #[arg(long, value_name = "SPAN")]
    expires: Option<Span>,
}

impl Invite {
    pub(super) async fn run(self, hub: &AdminClient, out: &mut Output) -> anyhow::Result<()> {
        let expires_in_seconds = self.expires.map(|span| span.seconds);
        let new = NewInvite { owner: self.owner, expires_in_seconds };
        let added: AddedInvite = hub.post("/api/v1/invites", &new).await?;
        let until = &added.invite.expires_at;
        let note = format!("for one agent, until {until}; hand it over like a password:");
        Ok(out.secret(&added, &added.line, &note)?)
    }
}
