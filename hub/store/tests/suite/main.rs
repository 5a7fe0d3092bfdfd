//! One suite of tests, run on every store; and what only a store in a file, or one behind a network,
//! can get wrong.

mod agents;
mod cancelled;
mod file;
mod fixture;
mod invites;
mod keys;
mod ledger;
mod ledger_legs;
mod ledger_speed;
mod objects;
mod outcomes;
mod owners;
mod pending_bills;
mod price_books;
mod receipts;
mod server;
mod terms;
mod users;
mod wallets;
mod whole;

/// Runs every test named on every store.
macro_rules! on_every_store {
    ($($room:ident { $($test:ident)* })*) => {
        mod memory {$(
            mod $room {$(
                #[tokio::test]
                async fn $test() {
                    crate::$room::$test(std::sync::Arc::new(weft_store::MemoryStore::new())).await;
                }
            )*}
        )*}

        mod mariadb {
            /// All in one process: a server for each would take longer than the tests.
            #[test]
            fn every_test_of_this_suite() {
                crate::server::run(&[$($(
                    (stringify!($room $test), |store| Box::pin(crate::$room::$test(store))),
                )*)*]);
            }
        }

        mod sqlite {$(
            mod $room {$(
                #[tokio::test]
                async fn $test() {
                    let folder = tempfile::tempdir().expect("a folder");
                    let store = weft_store::SqliteStore::open(&folder.path().join("weft.sqlite"))
                        .await
                        .expect("the store opens");
                    let store: std::sync::Arc<dyn weft_store::Store> = std::sync::Arc::new(store);
                    crate::$room::$test(std::sync::Arc::clone(&store)).await;
                    store.close().await;
                }
            )*}
        )*}
    };
}

on_every_store! {
    users {
        a_user_is_found_by_the_exact_name
        a_taken_name_is_a_conflict_and_changes_nothing
        a_user_can_be_disabled_and_enabled_again
        pages_hold_every_user_once_in_the_order_of_ids
    }
    keys {
        a_key_is_found_by_its_hash_whole_and_with_its_user
        a_key_of_nobody_is_refused_and_a_taken_hash_is_a_conflict
        the_first_revocation_stands
        a_user_sees_its_own_keys_only
    }
    ledger {
        a_lease_takes_what_there_is_and_never_more
        a_lease_grows_and_shrinks_part_by_part
        of_many_leases_at_once_no_nano_is_granted_twice
        every_fact_of_a_settlement_comes_back
        a_charge_is_shared_out_to_the_nano
        a_settlement_is_posted_once_whatever_comes_again
        a_charge_beyond_the_lease_takes_the_balance_and_then_the_hub
        a_draw_from_a_lease_that_is_over_or_foreign_is_owed_by_the_balance
        promotional_credit_is_told_apart
        amounts_that_nobody_can_mean_are_refused
        a_batch_longer_than_a_transaction_is_posted_whole
        money_is_moved_once_and_only_where_it_is
        statements_come_latest_first_and_pages_neither_skip_nor_repeat
        what_was_spent_is_summed_by_days_and_keys
        what_every_node_has_settled_counts_however_late_it_comes
        balances_are_paged_in_their_order
    }
    ledger_legs {
        of_many_answers_at_once_each_leg_keeps_its_own
        a_leg_is_paid_once_and_never_more_than_the_income
        what_a_claim_leaves_is_the_hubs_margin
        a_dispute_ends_one_way_or_the_other
        a_late_claim_is_paid_once_out_of_the_margin
        no_claim_is_paid_more_than_its_user_covered
        an_uncovered_claim_is_decided_or_paid_once_its_user_has
        nobody_is_paid_for_what_is_not_settled
        of_many_claims_at_once_one_is_paid
        income_vests_once_and_is_paid_out_of_the_wallet
        what_rests_for_an_owner_is_what_its_paid_legs_come_to
        the_journal_is_one_chain_and_moves_with_its_money
    }
    owners {
        the_same_name_is_the_same_owner
        many_at_once_make_one_owner
    }
    invites {
        an_invite_begins_unredeemed_under_an_owner_that_exists
        a_token_makes_one_agent_and_the_same_key_gets_it_again
        another_key_is_refused_whatever_it_brings
        after_its_time_a_token_is_worthless_even_for_its_own_key
        an_unknown_token_lets_nobody_in
        a_public_key_is_one_agent_only
        a_revoked_agent_does_not_come_back_by_its_token
        a_taken_agent_id_leaves_the_invite_as_it_was
        of_many_keys_at_once_exactly_one_gets_in
    }
    agents {
        an_agent_is_revoked_once_and_listed_as_such
        the_latest_sight_stands_in_whatever_order_it_comes
        what_does_not_exist_is_not_found
    }
    outcomes {
        every_field_comes_back_as_it_went_in
        every_end_and_abort_comes_back
        the_same_exchange_twice_is_one_row_and_the_first_stands
        a_batch_longer_than_a_transaction_is_kept_whole
        the_latest_come_first_and_pages_neither_skip_nor_repeat
    }
    objects {
        every_field_of_an_object_comes_back_as_it_went_in
        only_whose_it_is_finds_an_object_and_only_by_its_exact_id
        the_first_user_of_an_id_keeps_it_at_its_home_alone
        what_is_learnt_later_of_ones_own_object_is_filled_in
        more_ids_than_one_statement_takes_are_kept_and_found
        a_list_has_a_users_own_objects_once_each_in_both_orders
        a_users_home_is_where_the_latest_object_lives
        a_removed_object_goes_with_its_parts_and_takes_nothing_else
        only_what_is_old_and_of_the_kinds_named_is_purged
    }
    pending_bills {
        a_response_is_to_be_billed_once_until_it_is_closed
        only_whose_response_it_is_owes_for_it
        a_second_read_is_named_only_once_the_first_is_settled_at_nothing
        of_many_reads_at_once_one_is_named
        one_node_looks_after_a_bill_until_its_time_is_over
    }
    receipts {
        a_chain_moves_only_from_where_it_stands
        a_finding_is_kept_once_with_all_its_evidence
        findings_about_one_agent_have_a_limit
    }
    price_books {
        a_book_comes_back_byte_for_byte_and_the_first_stands
        the_latest_activation_is_in_force_and_history_only_grows
    }
    terms {
        zones_are_there_from_the_beginning_and_can_be_changed
        users_and_keys_get_zones_that_exist_and_limits
        whoever_could_profit_from_itself_is_refused_by_every_door
        two_changes_at_once_cannot_together_do_what_each_may_not
    }
    wallets {
        a_code_is_redeemed_by_one_user_and_for_the_same_user_again
        a_batch_of_codes_is_kept_whole_or_not_at_all
        of_many_users_at_once_one_gets_the_code
        the_first_decision_about_a_payout_stands_until_it_is_reopened
    }
    whole {
        a_closed_store_refuses_everything
        a_narrow_handle_sees_what_the_store_sees
        nothing_secret_is_serialised_or_shown
    }
}
