//! What goes in comes out: every message and head, in any state within the limits.

use crate::arbitrary;
use crate::samples::{answer_head, own_account, request_head};
use proptest::prelude::*;
use weft_proto::limits::{
    ACCOUNTS_MAX, ACCOUNTS_PER_PAGE_MAX, HEAD_BYTES_MAX, HEADER_LINES_MAX, MESSAGE_BYTES_MAX,
    TEXT_BYTES_MAX,
};
use weft_proto::wire::Malformed;
use weft_proto::wire::control::{
    Account, AgentMessage, ControlMessage, Deployment, HubMessage, pages,
};
use weft_proto::wire::head::{AnswerHead, RequestHead, SwitchedHead};
use weft_proto::wire::join::{JoinAnswer, JoinRequest};

fn there_and_back<M: ControlMessage + PartialEq>(message: &M) -> Result<(), TestCaseError> {
    let bytes = message.encode().unwrap();
    prop_assert!(bytes.len() <= MESSAGE_BYTES_MAX);
    prop_assert_eq!(&M::decode(&bytes).unwrap(), message);
    Ok(())
}

/// An account that costs nearly `bytes` on its page.
fn heavy(bytes: usize) -> Account {
    let mut account = own_account();
    while let left @ 8.. = bytes.saturating_sub(account.deployments.len() * 260) {
        let name = "d".repeat(left.saturating_sub(4).min(TEXT_BYTES_MAX));
        let model = String::new();
        account.deployments.push(Deployment { name, model });
    }
    account
}

proptest! {
    #[test]
    fn every_control_message_comes_back_as_it_was(
        agent in arbitrary::agent_message(),
        hub in arbitrary::hub_message(),
    ) {
        there_and_back::<AgentMessage>(&agent)?;
        there_and_back::<HubMessage>(&hub)?;
    }

    #[test]
    fn every_request_head_comes_back_with_all_its_lines_in_order(
        head in arbitrary::request_head()
    ) {
        prop_assert_eq!(RequestHead::decode(&head.encode().unwrap()).unwrap(), head);
    }

    #[test]
    fn every_answer_head_comes_back_with_all_its_lines_in_order(
        head in arbitrary::answer_head()
    ) {
        let read = AnswerHead::decode(&head.encode().unwrap()).unwrap();
        for name in head.headers.keys() {
            let sent: Vec<_> = head.headers.get_all(name).iter().collect();
            let came: Vec<_> = read.headers.get_all(name).iter().collect();
            prop_assert_eq!(sent, came);
        }
        prop_assert_eq!(read, head);
    }

    #[test]
    fn every_switched_head_comes_back_and_is_no_final_one(head in arbitrary::switched_head()) {
        let bytes = head.encode().unwrap();
        prop_assert_eq!(AnswerHead::decode(&bytes), Err(Malformed("status")));
        prop_assert_eq!(SwitchedHead::decode(&bytes).unwrap(), head);
    }

    #[test]
    fn joining_comes_back_as_it_was(
        request in arbitrary::join_request(),
        answer in arbitrary::join_answer(),
    ) {
        prop_assert!(JoinRequest::decode(&request.encode().unwrap()).unwrap() == request);
        prop_assert_eq!(JoinAnswer::decode(&answer.encode().unwrap()).unwrap(), answer);
    }

    /// Pages lose no account, keep the order, and each fits a message of its own.
    #[test]
    fn pages_hold_every_account_once_and_in_order(
        accounts in proptest::collection::vec(arbitrary::account(), 0..80)
    ) {
        assert_pages(&accounts)?;
    }

    /// Accounts of sizes around half a page, a third and a whole one: where pages are cut.
    #[test]
    fn pages_are_cut_right_at_the_limit_of_a_message(
        sizes in proptest::collection::vec(0_usize..15_900, 1..6)
    ) {
        let accounts: Vec<_> = sizes.into_iter().map(heavy).collect();
        assert_pages(&accounts)?;
    }
}

fn assert_pages(accounts: &[Account]) -> Result<(), TestCaseError> {
    let pages = pages(accounts).unwrap();
    let mut read = Vec::new();
    for (index, page) in pages.iter().enumerate() {
        prop_assert!(page.accounts.len() <= ACCOUNTS_PER_PAGE_MAX);
        prop_assert_eq!(page.last, index + 1 == pages.len());
        prop_assert!(page.last || !page.accounts.is_empty());
        let bytes = AgentMessage::Accounts(page.clone()).encode().unwrap();
        let AgentMessage::Accounts(page) = AgentMessage::decode(&bytes).unwrap() else {
            return Err(TestCaseError::fail("a page reads as another message"));
        };
        read.extend(page.accounts);
    }
    prop_assert_eq!(read, accounts);
    Ok(())
}

/// Every size up to the limit: the last page's mark costs two bytes that must not burst it.
#[test]
fn an_account_that_just_fits_a_message_is_sent() {
    let (mut sent, mut refused) = (0, 0);
    for bytes in 16_000..16_400 {
        match pages(&[heavy(bytes)]) {
            Ok(pages) => {
                assert_eq!(pages.len(), 1);
                AgentMessage::Accounts(pages[0].clone()).encode().unwrap();
                sent += 1;
            }
            Err(error) => {
                assert_eq!(error, Malformed("message length"));
                refused += 1;
            }
        }
    }
    assert!(sent > 0 && refused > 0, "{sent} sent, {refused} refused");
}

#[test]
fn an_agent_has_at_most_so_many_accounts() {
    let accounts = vec![own_account(); ACCOUNTS_MAX];
    let pages_of_all = pages(&accounts).unwrap();
    assert_eq!(pages_of_all.len(), ACCOUNTS_MAX / ACCOUNTS_PER_PAGE_MAX);
    let too_many = vec![own_account(); ACCOUNTS_MAX + 1];
    assert_eq!(pages(&too_many), Err(Malformed("number of accounts")));
    assert_eq!(pages(&[]).unwrap().len(), 1);
}

#[test]
fn a_head_within_the_limits_passes_and_one_beyond_is_refused_at_the_writer() {
    let mut head = answer_head();
    head.headers.clear();
    for _ in 0..HEADER_LINES_MAX {
        head.headers.append("x", "1".parse().unwrap());
    }
    AnswerHead::decode(&head.encode().unwrap()).unwrap();
    head.headers.append("x", "1".parse().unwrap());
    assert_eq!(head.encode(), Err(Malformed("header lines")));

    let mut head = request_head();
    head.target = format!("/{}", "a".repeat(HEAD_BYTES_MAX - 300));
    RequestHead::decode(&head.encode().unwrap()).unwrap();
    head.target = format!("/{}", "a".repeat(HEAD_BYTES_MAX));
    assert_eq!(head.encode(), Err(Malformed("head length")));
}
