//! What an answer makes at the provider, and the ids by which it is found again.

/// The objects that one answer made or belongs to. By default none: its ids then come from its
/// own bytes, and nobody finds it again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Made {
    /// Whether it can be asked for afterwards.
    pub(crate) stored: bool,
    /// The response's id.
    pub(crate) response: Option<String>,
    /// Its message's id.
    pub(crate) message: Option<String>,
    /// A reasoning item ahead of the message.
    pub(crate) reasoning: Option<Reasoning>,
    /// A run of code ahead of the message.
    pub(crate) code: Option<Code>,
    /// The response that it goes on from.
    pub(crate) previous: Option<String>,
    /// The conversation that it belongs to.
    pub(crate) conversation: Option<String>,
}

/// A reasoning item.
#[derive(Debug, Clone)]
pub(crate) struct Reasoning {
    pub(crate) id: String,
    /// Its content, where the request wants to keep it itself.
    pub(crate) encrypted: Option<String>,
}

/// Code that was run in a container, and the file that it left there.
#[derive(Debug, Clone)]
pub(crate) struct Code {
    /// The id of the run.
    pub(crate) item: String,
    pub(crate) container: String,
    pub(crate) file: String,
}
