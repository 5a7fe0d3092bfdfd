//! Lists come in pages, in the order of ids, which is the order in which the rows were made.

/// The most rows that one page has.
pub const PAGE_ROWS_MAX: u32 = 1_000;

/// The rows of a page where nothing else is said.
pub const PAGE_ROWS_DEFAULT: u32 = 100;

/// How many rows a page has at most: 1 to [`PAGE_ROWS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize(u32);

impl PageSize {
    /// The size next to `rows` that is allowed.
    #[must_use]
    pub fn clamped(rows: u32) -> Self {
        Self(rows.clamp(1, PAGE_ROWS_MAX))
    }

    /// The most rows of the page.
    #[must_use]
    pub const fn rows(self) -> u32 {
        self.0
    }

    /// The same, for iterators.
    pub(crate) const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl Default for PageSize {
    fn default() -> Self {
        Self(PAGE_ROWS_DEFAULT)
    }
}

/// One page of a list: the rows after `after`, or the first ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<Id> {
    /// The last id of the page before; `None` for the first page.
    pub after: Option<Id>,
    /// How many rows at most.
    pub size: PageSize,
}

impl<Id> Page<Id> {
    /// The first page, of the default size.
    #[must_use]
    pub fn first() -> Self {
        Self { after: None, size: PageSize::default() }
    }

    /// The page of the same size that follows the row `after`.
    #[must_use]
    pub fn next(self, after: Id) -> Self {
        Self { after: Some(after), size: self.size }
    }
}

impl<Id> Default for Page<Id> {
    fn default() -> Self {
        Self::first()
    }
}
