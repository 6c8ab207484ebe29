//! The store from outside: one contract on both databases, and what only one has.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what stands in a test's way fails it"
)]

mod backup;
mod check;
mod comments;
mod container;
mod contract;
mod finding;
mod integrations;
mod people;
mod sqlite;
mod tls;

macro_rules! store_contract {
    ($name:ident, $open:expr; $($file:ident { $($case:ident),+ $(,)? })+) => {
        mod $name {
            $($(#[tokio::test]
            async fn $case() {
                crate::$file::$case($open.await).await;
            })+)+
        }
    };
    ($name:ident, $open:expr) => {
        store_contract!($name, $open; contract {
            emails_are_replaced_under_their_ids_and_listed_once,
            a_content_is_kept_as_long_as_somebody_needs_it,
            what_is_not_committed_was_never_there,
            a_conditional_write_loses_to_a_faster_one,
            tokens_end_when_they_are_told_to,
            permissions_go_with_users_and_projects,
            names_are_each_one_things,
            configurations_keep_their_history,
            quotas_count_what_there_is,
            the_audit_chain_shows_what_was_changed,
            volume_counts_each_email_in_one_span,
        } people {
            sessions_end_when_they_are_told_to,
            one_user_has_not_more_sessions_than_there_may_be,
            a_link_is_the_only_one_and_good_once,
            a_password_is_replaced_only_where_it_is_the_one_that_was_seen,
            who_is_disabled_has_nothing,
            identities_are_each_one_users,
            what_groups_give_is_kept_apart_from_what_people_give,
            of_two_sign_ins_at_once_one_decides_about_all_groups,
            the_first_upload_of_an_hour_is_told,
            a_setting_is_the_last_that_was_written,
        } comments {
            comments_have_one_order_over_all_sources,
            a_comment_keeps_its_place_as_long_as_its_time,
            what_is_sent_beside_a_comment_goes_with_it,
            emails_wait_in_the_queue_of_each_source,
            an_email_that_ends_processes_is_set_aside,
            who_is_late_takes_nothing_back_from_who_took_it_over,
            notes_of_other_processes_are_counted_until_they_are_taken_back,
            a_later_format_converts_anew_and_an_earlier_one_keeps_off,
            emails_and_buckets_take_their_comments_with_them,
            changes_of_text_are_counted_and_their_order_is_that_of_time,
            a_claim_is_of_so_many_emails_and_so_many_bytes,
        } finding {
            search_finds_what_a_reader_finds,
            words_are_found_however_many_have_them,
            an_index_is_rebuilt_while_comments_change,
            nobody_finds_what_is_in_another_project,
            no_query_is_an_error_of_the_database,
        } integrations {
            integrations_change_and_keep_their_last_errors,
            a_mail_waits_exactly_when_what_it_is_about_has_happened,
            datasets_hold_their_sources_in_order_and_take_the_rest_along,
        });
    };
}

store_contract!(on_sqlite, crate::contract::sqlite());
store_contract!(on_postgres, crate::contract::postgres());
store_contract!(in_a_container, crate::container::on_azurite());
