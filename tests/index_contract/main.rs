//! One contract for every index engine, and what each engine must do besides when its store is damaged.

mod accounts;
mod atomicity;
mod bench;
mod contract;
mod formats;
mod keys;
mod loads;
mod redis_faults;
#[path = "../support/redis.rs"]
mod redis_server;
#[path = "../support/servers.rs"]
mod servers;

/// Runs every test of the contract on every engine.
macro_rules! on_every_engine {
    ($($module:ident::$name:ident),* $(,)?) => {
        mod embedded {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    crate::$module::$name(crate::bench::Bench::embedded()).await;
                }
            )*
        }
        mod redis {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    crate::$module::$name(crate::bench::Bench::redis()).await;
                }
            )*
        }
        mod sentinel {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    crate::$module::$name(crate::bench::Bench::sentinel().await).await;
                }
            )*
        }
        mod cluster {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    crate::$module::$name(crate::bench::Bench::cluster().await).await;
                }
            )*
        }
    };
}

on_every_engine! {
    contract::rows_are_invisible_until_their_generation_answers,
    contract::sets_are_switched_one_by_one,
    contract::writes_sent_twice_change_nothing,
    contract::the_last_of_several_writes_of_a_row_stands,
    contract::removing_a_retired_generation_leaves_the_current_one,
    contract::an_index_that_is_not_complete_refuses_every_lookup,
    contract::a_cleared_index_refuses_until_it_is_complete_and_holds_nothing,
    contract::rows_states_and_marker_survive_reopening,
    contract::a_scan_shows_every_row_once,
    contract::rows_of_keeps_order_and_duplicates,
    contract::rows_of_thousands_of_customers_are_each_their_own,
    contract::another_instance_follows_a_switch_once_it_has_settled,
    accounts::accounts_are_found_under_their_own_number_only,
    accounts::an_account_is_followed_from_bank_to_bank,
    accounts::a_deleted_row_takes_its_account_with_it,
    loads::a_set_that_was_loaded_answers_as_if_it_were_written,
    loads::the_sets_of_120_banks_are_each_found,
    loads::what_was_written_is_found_while_sets_come_and_go,
    atomicity::a_switch_is_seen_wholly_or_not_at_all,
    atomicity::generations_come_and_go_under_lookups,
    atomicity::puts_and_deletes_of_a_customer_are_seen_together,
    atomicity::thousands_of_rows_of_a_customer_are_put_together,
    atomicity::thousands_of_rows_of_a_customer_are_exchanged_together,
    keys::another_key_answers_by_one_switch,
    keys::a_side_is_removed_and_the_other_stays,
    keys::another_key_cannot_answer_from_a_store_that_was_emptied_or_built_anew,
}
