//! Usage: how much an exchange took, in disjoint classes of units.
//!
//! Every unit a provider reports counts in exactly one class, so that the classes sum to the
//! provider's totals and a price is one sum over them. The numbers of the classes stand in ledger
//! entries and price books: they are never reused and never change their meaning.

use std::fmt;

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// One kind of unit. The number is the stored form, the text is what files and people use.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Class {
            $($(#[$doc])* $name = $number,)*
        }

        impl Class {
    /// Tokens read: fresh ones, and ones read from or written to the provider's cache.
    pub const READ: [Self; 8] = [
        Self::Input,
        Self::InputAudio,
        Self::InputImage,
        Self::CacheRead,
        Self::CacheReadAudio,
        Self::CacheReadImage,
        Self::CacheWrite,
        Self::CacheWrite1h,
    ];

    /// Tokens written, hidden ones among them.
    pub const WRITTEN: [Self; 5] = [
        Self::Output,
        Self::Reasoning,
        Self::OutputAudio,
        Self::OutputImage,
        Self::RejectedPrediction,
    ];

            /// All classes, in the order of their numbers.
            pub const ALL: [Self; CLASSES] = [$(Self::$name,)*];

            /// The name in files, rows and reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

/// How many classes there are.
pub const CLASSES: usize = 23;

classes! {
    /// Text tokens read at the full price.
    Input = 0, "input";
    /// Audio tokens read.
    InputAudio = 1, "input_audio";
    /// Image tokens read.
    InputImage = 2, "input_image";
    /// Text tokens that the provider's cache held.
    CacheRead = 3, "cache_read";
    /// Audio tokens that the provider's cache held.
    CacheReadAudio = 4, "cache_read_audio";
    /// Image tokens that the provider's cache held.
    CacheReadImage = 5, "cache_read_image";
    /// Tokens written to the provider's cache for its usual lifetime (five minutes at Anthropic).
    CacheWrite = 6, "cache_write";
    /// Tokens written to the provider's cache for an hour.
    CacheWrite1h = 7, "cache_write_1h";
    /// Text tokens written that the user sees, and hidden ones where the provider does not tell
    /// them apart.
    Output = 8, "output";
    /// Tokens of hidden reasoning.
    Reasoning = 9, "reasoning";
    /// Audio tokens written.
    OutputAudio = 10, "output_audio";
    /// Image tokens written.
    OutputImage = 11, "output_image";
    /// Milliseconds of audio.
    AudioMillis = 12, "audio_millis";
    /// Characters of text spoken.
    Characters = 13, "characters";
    /// Searches of the web.
    WebSearch = 14, "web_search";
    /// Pages fetched.
    WebFetch = 15, "web_fetch";
    /// Searches of stored files.
    FileSearch = 16, "file_search";
    /// Containers or sessions in which code ran.
    CodeSession = 17, "code_session";
    /// Images made, where they are priced by the piece.
    Image = 18, "image";
    /// Calls to other hosted tools.
    ToolCall = 19, "tool_call";
    /// Requests, where they are priced by the piece.
    Request = 20, "request";
    /// Tokens that a prediction proposed and the answer did not take.
    RejectedPrediction = 21, "rejected_prediction";
    /// Milliseconds of video.
    VideoMillis = 22, "video_millis";
}

impl Class {
    /// The stored number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The class with this stored number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The class with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Units by class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Usage([u64; CLASSES]);

impl Usage {
    /// Nothing.
    pub const NONE: Self = Self([0; CLASSES]);

    /// Units of `class`.
    #[must_use]
    pub const fn get(&self, class: Class) -> u64 {
        self.0[class as usize]
    }

    /// Sets the units of `class`.
    pub const fn set(&mut self, class: Class, units: u64) {
        self.0[class as usize] = units;
    }

    /// Adds units to `class`, held at the end of the range.
    pub const fn add(&mut self, class: Class, units: u64) {
        self.0[class as usize] = self.0[class as usize].saturating_add(units);
    }

    /// The same with `units` of `class`.
    #[must_use]
    pub const fn with(mut self, class: Class, units: u64) -> Self {
        self.set(class, units);
        self
    }

    /// Whether nothing was used.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.iter().all(|units| *units == 0)
    }

    /// The classes of which anything was used, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Class, u64)> + '_ {
        Class::ALL.into_iter().map(|class| (class, self.get(class))).filter(|(_, units)| *units > 0)
    }

    /// Both together, held at the end of the range.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|index| self.0[index].saturating_add(other.0[index])))
    }

    /// All tokens read: fresh ones, and ones read from or written to the provider's cache. What a
    /// price book's thresholds are held against.
    #[must_use]
    pub fn input_total(&self) -> u64 {
        Class::READ.into_iter().fold(0, |sum, class| sum.saturating_add(self.get(class)))
    }

    /// All tokens written, hidden ones among them.
    #[must_use]
    pub fn output_total(&self) -> u64 {
        Class::WRITTEN.into_iter().fold(0, |sum, class| sum.saturating_add(self.get(class)))
    }
}

impl FromIterator<(Class, u64)> for Usage {
    fn from_iter<I: IntoIterator<Item = (Class, u64)>>(units: I) -> Self {
        let mut usage = Self::NONE;
        for (class, count) in units {
            usage.add(class, count);
        }
        usage
    }
}

/// How far a usage can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Basis {
    /// The provider reported it, whole.
    Reported = 0,
    /// Counted here, wholly or in part: the provider sent no usage, or the answer was cut before it.
    Estimated = 1,
    /// The answer could not be read (its coding, its size, its shape): what is known is a bound.
    Unmetered = 2,
    /// More was reported than the request can have led to: what is known is the bound.
    Bounded = 3,
}

impl Basis {
    /// The basis with this stored number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Reported),
            1 => Some(Self::Estimated),
            2 => Some(Self::Unmetered),
            3 => Some(Self::Bounded),
            _ => None,
        }
    }

    /// The name in files and rows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Estimated => "estimated",
            Self::Unmetered => "unmetered",
            Self::Bounded => "bounded",
        }
    }
}

/// How urgently a provider serves an exchange, at a price of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum ServiceTier {
    /// As anybody is served.
    #[default]
    Standard = 0,
    /// Later, and cheaper.
    Flex = 1,
    /// Sooner, and dearer.
    Priority = 2,
    /// As part of a batch.
    Batch = 3,
    /// By a faster machine, and much dearer.
    Fast = 4,
}

impl ServiceTier {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Standard, Self::Flex, Self::Priority, Self::Batch, Self::Fast];

    /// The stored number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The tier with this stored number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The name in files and rows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Flex => "flex",
            Self::Priority => "priority",
            Self::Batch => "batch",
            Self::Fast => "fast",
        }
    }

    /// The tier with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.name() == name)
    }

    /// What a provider means by `text`; `None` for a word that says nothing of the price.
    #[must_use]
    pub fn reported(text: &str) -> Option<Self> {
        match text {
            "default" | "standard" | "standard_only" | "scale" => Some(Self::Standard),
            "flex" => Some(Self::Flex),
            "priority" => Some(Self::Priority),
            "batch" => Some(Self::Batch),
            "fast" => Some(Self::Fast),
            _ => None,
        }
    }
}

impl fmt::Display for ServiceTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a provider computes, as far as its answer says and its prices ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum Geo {
    /// The answer does not say.
    #[default]
    Unstated = 0,
    /// Anywhere.
    Global = 1,
    /// In the United States alone.
    Us = 2,
    /// Somewhere that this version has no word for.
    Other = 3,
}

impl Geo {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Unstated, Self::Global, Self::Us, Self::Other];

    /// The stored number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The place with this stored number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The name in files and rows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unstated => "unstated",
            Self::Global => "global",
            Self::Us => "us",
            Self::Other => "other",
        }
    }

    /// The place with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|geo| geo.name() == name)
    }

    /// What a provider means by `text`.
    #[must_use]
    pub fn reported(text: &str) -> Self {
        match text {
            "" | "not_available" => Self::Unstated,
            "global" => Self::Global,
            "us" => Self::Us,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Geo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_of_classes_lead_back_to_them() {
        for (index, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(class.number()), index);
            assert_eq!(Class::from_number(class.number()), Some(class));
            assert_eq!(Class::from_name(class.name()), Some(class));
        }
        assert_eq!(Class::from_number(CLASSES as u8), None);
    }

    #[test]
    fn numbers_and_names_of_tiers_and_places_lead_back_to_them() {
        for tier in ServiceTier::ALL {
            assert_eq!(ServiceTier::from_number(tier.number()), Some(tier));
            assert_eq!(ServiceTier::from_name(tier.name()), Some(tier));
            assert_eq!(ServiceTier::reported(tier.name()), Some(tier));
        }
        for geo in Geo::ALL {
            assert_eq!(Geo::from_number(geo.number()), Some(geo));
            assert_eq!(Geo::from_name(geo.name()), Some(geo));
        }
        assert_eq!((ServiceTier::from_number(5), Geo::from_number(4)), (None, None));
    }
}
