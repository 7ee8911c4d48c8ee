//! The blocks of the pages that `documents.rs` does not run, by page and first words: which test shows them, or why none does.

/// Who runs a block.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown {
    /// The test with this name in this file.
    By(&'static str, &'static str),
    /// Nobody, for this reason.
    NotRun(#[expect(dead_code, reason = "for who reads this file")] &'static str),
}

use Shown::{By, NotRun};

const ACME: &str = "cli/tests/end_to_end/acme.rs";
const LISTEN: &str = "cli/tests/end_to_end/listen.rs";
const PACKAGE: &str = "cli/tests/end_to_end/package.rs";
const ADMIN_COMMANDS: &str = "cli/tests/end_to_end/admin/commands.rs";
const DEPLOY: &str = "cli/tests/end_to_end/deploy.rs";
const TESTING: &str = "cli/tests/end_to_end/testing.rs";
const LITESTREAM: Shown =
    By("cli/tests/end_to_end/backup.rs", "litestream_has_every_row_of_a_server_that_was_killed");
const S3: Shown =
    By("cli/tests/end_to_end/backup_s3.rs", "a_bucket_has_the_last_backups_and_gives_them_back");
const PROXIES: &str = "cli/tests/end_to_end/proxies.rs";
const DOCKER: Shown = NotRun("it needs a Docker daemon; CI runs a linter on the Dockerfile");
const COMPILES: Shown = NotRun("it compiles everything; .ci/run does so with the last command of the README");

const HOST_PAGE: Shown =
    By("cli/tests/end_to_end/host/page.rs", "the_page_leads_from_an_empty_machine_to_a_deployed_chat");
const HOST_TLS: Shown = By("cli/tests/end_to_end/host/secure.rs", "a_host_with_a_certificate_speaks_https");
const HOST_ACME: Shown =
    By("cli/tests/end_to_end/host/secure.rs", "projects_get_certificates_when_they_are_first_asked_for");
const HOST_PROXY: Shown = By("cli/tests/end_to_end/host/secure.rs", "a_proxy_in_front_is_believed");
const HOST_ENV: Shown =
    By("cli/tests/end_to_end/host/access.rs", "variables_are_encrypted_and_reach_the_room");
const HOST_TOKENS: Shown =
    By("cli/tests/end_to_end/host/access.rs", "tokens_may_do_what_their_scope_says_until_they_are_withdrawn");
const HOST_TAIL: Shown = By("cli/tests/end_to_end/host/tails.rs", "lines_are_filtered_where_they_are");

/// Page, first words of the block, who runs it.
pub(crate) const NAMED: &[(&str, &str, Shown)] = &[
    ("CONTRIBUTING.md", "npm ci --prefix tests", COMPILES),
    ("CONTRIBUTING.md", "cargo build --release", COMPILES),
    ("CONTRIBUTING.md", "cargo test --release", COMPILES),
    ("CONTRIBUTING.md", "target/release/conformance", COMPILES),
    (
        "CONTRIBUTING.md",
        "docs/book/build",
        By("tests/tests/book.rs", "every_link_of_the_site_leads_somewhere"),
    ),
    ("CONTRIBUTING.md", ".ci/run", NotRun("it runs this test")),
    (
        "CONTRIBUTING.md",
        "{\n  name: \"Passing",
        NotRun("it is a case of fixtures/addressing, which the conformance run runs"),
    ),
    (
        "CONTRIBUTING.md",
        "cargo deny check",
        NotRun("its database is on a host that CI must not need, as the page says"),
    ),
    ("README.md", "npm ci --prefix tests", COMPILES),
    ("cli/npm/README.md", "import type", By(PACKAGE, "the_types_know_what_servers_use")),
    (
        "docs/backup.md",
        "partyrun storage get game/7",
        By("cli/tests/end_to_end/storage.rs", "storage_is_shown_as_people_read_it"),
    ),
    ("docs/host.md", "mkdir -p /var/lib/partyrun-host", HOST_PAGE),
    ("docs/host.md", "partyrun login http://party.example.com", HOST_PAGE),
    ("docs/host.md", "partyrun host --domain party.example.com --data DIR --tls-cert", HOST_TLS),
    ("docs/host.md", "partyrun host --domain party.example.com --data DIR --host", HOST_PROXY),
    ("docs/host.md", "partyrun host --domain party.example.com --data DIR --acme", HOST_ACME),
    ("docs/host.md", "echo \"the value\" | partyrun env add", HOST_ENV),
    ("docs/host.md", "partyrun token", HOST_TOKENS),
    ("docs/host.md", "partyrun tail", HOST_TAIL),
    ("docs/admin.md", "partyrun logs", By(ADMIN_COMMANDS, "logs_and_top_go_on_until_they_are_ended")),
    ("docs/admin.md", "partyrun top", By(ADMIN_COMMANDS, "logs_and_top_go_on_until_they_are_ended")),
    (
        "docs/admin.md",
        "PARTYRUN_ADMIN_TOKEN",
        By(ADMIN_COMMANDS, "commands_ask_a_server_that_they_are_told_of"),
    ),
    (
        "docs/admin.md",
        "curl",
        By("cli/tests/end_to_end/admin/api.rs", "only_who_has_the_token_may_ask_and_no_page_of_others"),
    ),
    ("docs/backup.md", "dbs:", LITESTREAM),
    ("docs/backup.md", "litestream replicate", LITESTREAM),
    ("docs/backup.md", "litestream restore", LITESTREAM),
    ("docs/backup.md", "export AWS_ACCESS_KEY_ID", S3),
    ("docs/backup.md", "partyrun backup s3:", S3),
    ("docs/backup.md", "partyrun restore s3:", S3),
    ("docs/benchmarks.md", "target/release/tls", NotRun("a benchmark takes a quiet machine and minutes")),
    (
        "docs/tls.md",
        "partyrun start chat.partyrun --acme",
        By(ACME, "certificates_are_obtained_and_kept_for_the_next_start"),
    ),
    (
        "docs/tls.md",
        "partyrun start chat.partyrun --tls-cert",
        By("cli/tests/end_to_end/tls.rs", "certificates_are_chosen_by_name_and_sessions_go_on"),
    ),
    (
        "docs/tls.md",
        "partyrun start chat.partyrun --listen 127",
        By(LISTEN, "several_places_are_listened_at_and_paths_have_their_mode"),
    ),
    (
        "docs/tls.md",
        "partyrun start chat.partyrun --listen unix",
        By(LISTEN, "several_places_are_listened_at_and_paths_have_their_mode"),
    ),
    (
        "docs/tls.md",
        "partyrun start chat.partyrun --listen systemd",
        By(LISTEN, "systemd_passes_sockets_and_hears_how_the_server_is"),
    ),
    (
        "docs/tls.md",
        "partyrun start chat.partyrun --proxy-protocol",
        By(LISTEN, "a_trusted_proxy_says_whom_it_speaks_for"),
    ),
    ("docs/benchmarks.md", "cargo build", NotRun("a benchmark takes a quiet machine and minutes")),
    (
        "docs/benchmarks.md",
        "target/release/wpt",
        NotRun("the tests of the web platform are not in this repository"),
    ),
    (
        "docs/commands.md",
        "partyrun restore",
        By("cli/tests/end_to_end/backup.rs", "a_running_server_is_backed_up_and_goes_back_to_that_moment"),
    ),
    (
        "docs/commands.md",
        "partyrun import",
        By("cli/tests/end_to_end/import.rs", "rooms_of_the_original_come_over"),
    ),
    (
        "docs/debug.md",
        "{\n  \"version\"",
        By("cli/tests/end_to_end/debugger.rs", "one_attach_debugs_every_room_from_its_first_message"),
    ),
    (
        "docs/debug.md",
        "partyrun dev --inspect-brk",
        By("cli/tests/end_to_end/debugger.rs", "the_start_waits_for_a_debugger"),
    ),
    ("docs/docker.md", "docker build", DOCKER),
    ("docs/docker.md", "FROM partyrun", DOCKER),
    ("docs/docker.md", "PROJECT=", DOCKER),
    (
        "docs/first-project.md",
        "partyrun storage list lobby",
        By("cli/tests/end_to_end/storage.rs", "storage_is_shown_as_people_read_it"),
    ),
    (
        "docs/first-project.md",
        "curl localhost:1999/parties/counter",
        By("cli/tests/end_to_end/documents.rs", "the_second_party_of_the_first_project_counts"),
    ),
    ("docs/install.md", "cargo build", By(PACKAGE, "the_packed_tarballs_put_the_command_on_the_path")),
    (
        "docs/install.md",
        "sh deploy/debian/pack.sh",
        By(DEPLOY, "the_debian_package_is_installed_into_a_folder_and_serves"),
    ),
    ("docs/install.md", "cargo install", COMPILES),
    (
        "docs/install.md",
        "export RUSTY_V8_ARCHIVE",
        NotRun("it is for other platforms than the one that is tested"),
    ),
    ("docs/install.md", "import type", By(PACKAGE, "the_types_know_what_servers_use")),
    (
        "docs/metrics.md",
        "scrape_configs:",
        By("cli/tests/end_to_end/metrics.rs", "a_real_prometheus_scrapes_it"),
    ),
    (
        "docs/metrics.md",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        By("cli/tests/end_to_end/otlp.rs", "what_is_not_sampled_is_not_exported_and_others_are_told"),
    ),
    (
        "docs/migrate.md",
        "partyrun import",
        By("cli/tests/end_to_end/import.rs", "rooms_of_the_original_come_over"),
    ),
    ("docs/operate.md", "[Unit]", By(DEPLOY, "the_unit_is_hardened_as_systemd_counts_it")),
    ("docs/proxies.md", "chat.example.com {", By(PROXIES, "caddy_does_what_the_page_says")),
    ("docs/proxies.md", "map $http_upgrade", By(PROXIES, "nginx_does_what_the_page_says")),
    ("docs/proxies.md", "defaults\n", By(PROXIES, "haproxy_does_what_the_page_says")),
    ("docs/testing.md", "import assert", By(TESTING, "the_test_of_the_docs_passes_with_vitest")),
    ("docs/testing.md", "export default", By(TESTING, "the_test_of_the_docs_passes_with_the_runner_of_node")),
    (
        "tests/README.md",
        "node tests/packages/run.mjs",
        NotRun("it installs 355 packages of the npm registry"),
    ),
    ("tests/README.md", "node tests/bench/host.mjs", NotRun("it takes minutes and wants a quiet machine")),
];
