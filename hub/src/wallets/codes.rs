//! Redemption codes: made in batches, shown once, redeemed once.

use super::{AMOUNT_MAX, Credited, NotDone, Wallets};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::fmt;
use weft_proto::money::NanoUsd;
use weft_proto::time::Timestamp;
use weft_store::{
    Batch, CODES_PER_BATCH_MAX, Code, House, JournalKind, LedgerAccount, Leg, Page, Redeeming,
    StoreError, Subject, TokenHash, User, batch_memo,
};
use zeroize::Zeroizing;

/// What every code begins with.
const PREFIX: &str = "wc-";

/// Random bytes of a code: 144 bits cannot be guessed, and are 24 characters.
const RANDOM_BYTES: usize = 18;

/// The length of a code's text.
pub const CODE_TEXT_BYTES: usize = PREFIX.len() + RANDOM_BYTES / 3 * 4;

/// A batch that was just made.
pub struct MadeCodes {
    /// Its id.
    pub batch: Subject,
    /// The texts: in this answer and never again.
    pub texts: Vec<Zeroizing<String>>,
}

impl fmt::Debug for MadeCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MadeCodes").field("batch", &self.batch).finish_non_exhaustive()
    }
}

impl Wallets {
    /// Makes `count` codes of `amount` each.
    ///
    /// # Errors
    /// [`NotDone`]; none was made then.
    pub async fn make_codes(
        &self,
        count: usize,
        amount: NanoUsd,
        expires_at: Option<Timestamp>,
    ) -> Result<MadeCodes, NotDone> {
        if !amount.is_positive() || amount > AMOUNT_MAX {
            return Err(NotDone::Amount);
        }
        let batch = Subject::generate(&*self.0.clock, &*self.0.entropy);
        let created_at = self.0.clock.now();
        let count = count.clamp(1, CODES_PER_BATCH_MAX);
        let (mut texts, mut codes) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for _ in 0..count {
            let mut random = Zeroizing::new([0; RANDOM_BYTES]);
            self.0.entropy.fill(random.as_mut_slice());
            let text =
                Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random.as_slice())));
            codes.push(Code {
                hash: hash(&text),
                batch,
                amount,
                created_at,
                expires_at,
                redeemed: None,
            });
            texts.push(text);
        }
        self.0.codes.create(&codes).await?;
        Ok(MadeCodes { batch, texts })
    }

    /// Gives the credit of the code `text` to `user`, once.
    ///
    /// # Errors
    /// [`NotDone`]. Where the store fails after the code was taken, the same user redeems it again.
    pub async fn redeem(&self, user: &User, text: &str) -> Result<(Credited, NanoUsd), NotDone> {
        self.unlinked(user)?;
        let text = text.trim();
        if text.len() != CODE_TEXT_BYTES || !text.starts_with(PREFIX) {
            return Err(NotDone::Unknown("code"));
        }
        let at = self.0.clock.now();
        let code = match self.0.codes.redeem(&hash(text), user.id, at).await? {
            Redeeming::Redeemed(code) => code,
            Redeeming::Taken => return Err(NotDone::CodeTaken),
            Redeeming::Expired => return Err(NotDone::CodeExpired),
            Redeeming::Unknown => return Err(NotDone::Unknown("code")),
        };
        let promo = LedgerAccount::Promo(user.id);
        let subject = code.subject();
        let accounts = (LedgerAccount::House(House::Promotions), promo);
        let memo = batch_memo(code.batch);
        let kind = JournalKind::Promotion;
        self.act(kind, subject, Leg::Redemption, accounts, code.amount, memo).await?;
        let balance = self.0.ledger.balance(promo).await?;
        Ok((Credited { subject, balance }, code.amount))
    }

    /// The batches of codes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn batches(&self, page: Page<Subject>) -> Result<Vec<Batch>, StoreError> {
        self.0.codes.batches(page).await
    }
}

fn hash(text: &str) -> TokenHash {
    TokenHash::new(Sha256::digest(text.as_bytes()).into())
}
