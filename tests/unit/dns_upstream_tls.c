/* SPDX-License-Identifier: Apache-2.0 */
/* DNS over TLS against a server in the same process, with certificates made here. */
#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tests/unit/dns_upstream_world.h"

#define NAME    "dns.example"
#define DAY_S   86400L
#define FOREVER (30 * DAY_S)

static struct fake one;
static EVP_PKEY *key;
static X509 *authority;
static char upstream[UPSTREAM_TEXT_BYTES + 64];

/* ---- certificates ---- */

static void add_extension(X509 *certificate, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    assert_non_null(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

/* A certificate for `names` ("DNS:...", "IP:..."), signed by the authority; without names the
 * authority itself, or with is_own a self-signed one. All have one key: that is not tested here. */
static X509 *make_certificate(const char *common_name, const char *names, long from_s, long to_s,
                              bool is_own)
{
    static long serial = 1;
    X509 *made = X509_new();
    X509_NAME *subject = X509_NAME_new();

    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1,
                               -1, 0);
    X509_set_version(made, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made), serial++);
    X509_gmtime_adj(X509_getm_notBefore(made), from_s);
    X509_gmtime_adj(X509_getm_notAfter(made), to_s);
    X509_set_subject_name(made, subject);
    X509_set_issuer_name(made,
                         names == NULL || is_own ? subject : X509_get_subject_name(authority));
    X509_set_pubkey(made, key);
    add_extension(made, NID_basic_constraints, names == NULL ? "critical,CA:TRUE" : "CA:FALSE");
    if (names != NULL)
        add_extension(made, NID_subject_alt_name, names);
    X509_NAME_free(subject);
    assert_true(X509_sign(made, key, EVP_sha256()) > 0);
    return made;
}

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_length,
                       const unsigned char *in, unsigned in_length, void *context)
{
    (void)context;
    struct fake *fake = SSL_get_app_data(ssl);
    fake->saw_alpn_dot = in_length == 4 && memcmp(in, "\3dot", 4) == 0;
    *out = in + 1;
    *out_length = in[0];
    return SSL_TLSEXT_ERR_OK;
}

static void serve_with(X509 *certificate)
{
    one.tls = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(one.tls, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(one.tls, key), 1);
    SSL_CTX_set_alpn_select_cb(one.tls, select_alpn, NULL);
    SSL_CTX_set_session_id_context(one.tls, (const unsigned char *)"t", 1);
    X509_free(certificate);
}

static void start(X509 *certificate, const char *name)
{
    fake_open(&one, ANSWERS);
    serve_with(certificate);
    snprintf(upstream, sizeof(upstream), "tls://127.0.0.1:%u#%s", one.port, name);
    world.config.tls_ca = support_path("ca.pem");
    world_create(upstream, NULL);
}

static X509 *good(const char *names)
{
    return make_certificate(NAME, names, -DAY_S, FOREVER, false);
}

static int tls_teardown(void **state)
{
    fake_close(&one);
    SSL_CTX_free(one.tls);
    one.tls = NULL;
    return world_teardown(state);
}

/* ---- good ---- */

static void test_answer_over_tls(void **state)
{
    (void)state;
    start(good("DNS:" NAME), NAME);
    world_ask(1, "a.example", 0);
    world_ask(2, "a.rather.longer.name.example", 0);
    WORLD_UNTIL(world.done == 2);
    assert_answered(1);
    assert_answered(2);
    assert_int_equal(one.accepted, 1);
    assert_true(one.saw_alpn_dot);
    assert_int_equal(one.last_query_length % 128, 0); /* RFC 8467 */
    assert_int_equal(world_stats(0)->connects, 1);
    assert_int_equal(world_stats(0)->tls_resumed, 0);
}

static void test_many_in_flight(void **state)
{
    char name[40];

    (void)state;
    start(good("DNS:" NAME), NAME);
    for (unsigned i = 0; i < 400; i++) {
        snprintf(name, sizeof(name), "n%u.example", i);
        world_ask(i, name, 0);
    }
    WORLD_UNTIL(world.done == 400);
    for (unsigned i = 0; i < 400; i++)
        assert_answered(i);
    assert_int_equal(one.accepted, 1);
}

static void test_address_in_the_certificate(void **state)
{
    (void)state;
    start(good("IP:127.0.0.1"), "127.0.0.1");
    world_ask(1, "a.example", 0);
    WORLD_UNTIL(world.done == 1);
    assert_answered(1);
}

static void resume_with(int version)
{
    fake_open(&one, ANSWERS);
    serve_with(good("DNS:" NAME));
    SSL_CTX_set_max_proto_version(one.tls, version);
    snprintf(upstream, sizeof(upstream), "tls://127.0.0.1:%u#%s", one.port, NAME);
    world.config.tls_ca = support_path("ca.pem");
    world_create(upstream, NULL);
    for (unsigned i = 0; i < 3; i++) {
        world_ask(i, "a.example", 0);
        WORLD_UNTIL(world.done == i + 1);
        assert_answered(i);
        fake_hang_up(&one);
    }
    assert_int_equal(one.accepted, 3);
    assert_int_equal(world_stats(0)->tls_resumed, 2);
    assert_int_equal(one.resumed, 2); /* the server says so, too */
}

static void test_resumption_13(void **state)
{
    (void)state;
    resume_with(TLS1_3_VERSION);
}

static void test_resumption_12(void **state)
{
    (void)state;
    resume_with(TLS1_2_VERSION);
}

static void test_directory_of_authorities(void **state)
{
    (void)state;
    fake_open(&one, ANSWERS);
    serve_with(good("DNS:" NAME));
    snprintf(upstream, sizeof(upstream), "tls://127.0.0.1:%u#%s", one.port, NAME);
    world.config.tls_ca = support_directory();
    world_create(upstream, NULL);
    world_ask(1, "a.example", 0);
    WORLD_UNTIL(world.done == 1);
    assert_answered(1);
}

/* ---- refused ---- */

static void assert_refused(X509 *certificate, const char *name, const char *sentence)
{
    support_capture_begin(2);
    start(certificate, name);
    world_ask(1, "a.example", 0);
    WORLD_UNTIL(world.done == 1);
    assert_contains(support_capture_end(), sentence);
    assert_failed(1, UPSTREAM_TLS_FAILED);
    assert_int_equal(one.queries, 0);
    assert_true(world_stats(0)->failures[UPSTREAM_TLS_FAILED] > 0);
    assert_int_equal(world_stats(0)->connects, 0);
    assert_false(world_stats(0)->healthy);
}

static void test_wrong_name(void **state)
{
    (void)state;
    assert_refused(good("DNS:other.example"), NAME, "certificate refused: hostname mismatch");
}

static void test_name_only_in_the_subject(void **state)
{
    (void)state;
    assert_refused(good("DNS:other.example, IP:127.0.0.1"), NAME, "hostname mismatch");
}

static void test_wrong_address(void **state)
{
    (void)state;
    assert_refused(good("IP:127.0.0.2"), "127.0.0.1", "IP address mismatch");
}

static void test_expired(void **state)
{
    (void)state;
    assert_refused(make_certificate(NAME, "DNS:" NAME, -2 * DAY_S, -DAY_S, false), NAME,
                   "certificate refused: certificate has expired");
}

static void test_not_yet_valid(void **state)
{
    (void)state;
    assert_refused(make_certificate(NAME, "DNS:" NAME, DAY_S, FOREVER, false), NAME,
                   "certificate is not yet valid");
}

static void test_self_signed(void **state)
{
    (void)state;
    assert_refused(make_certificate(NAME, "DNS:" NAME, -DAY_S, FOREVER, true), NAME,
                   "certificate refused: self-signed certificate");
}

static void test_old_tls(void **state)
{
    (void)state;
    fake_open(&one, ANSWERS);
    serve_with(good("DNS:" NAME));
    SSL_CTX_set_security_level(one.tls, 0);
    SSL_CTX_set_min_proto_version(one.tls, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(one.tls, TLS1_1_VERSION);
    snprintf(upstream, sizeof(upstream), "tls://127.0.0.1:%u#%s", one.port, NAME);
    world.config.tls_ca = support_path("ca.pem");
    world_create(upstream, NULL);
    world_ask(1, "a.example", 0);
    WORLD_UNTIL(world.done == 1);
    assert_failed(1, UPSTREAM_TLS_FAILED);
    assert_int_equal(one.queries, 0);
}

static void test_server_without_tls(void **state)
{
    (void)state;
    fake_open(&one, ANSWERS);
    one.manner = CLOSES;
    snprintf(upstream, sizeof(upstream), "tls://127.0.0.1:%u#%s", one.port, NAME);
    world.config.tls_ca = support_path("ca.pem");
    world_create(upstream, NULL);
    world_ask(1, "a.example", 100);
    WORLD_UNTIL(world.done == 1);
    assert_true(world.results[1].failure != UPSTREAM_ANSWERED);
}

static void test_no_authorities(void **state)
{
    static const char *const paths[] = {"/nonexistent", "/dev/null",
                                        "/proc/self/fd"}; /* no regular file */
    struct failure failure;

    (void)state;
    world_specs(world.config.specs, &world.config.count, "tls://127.0.0.1#" NAME, NULL);
    for (unsigned i = 0; i < 3; i++) {
        world.config.tls_ca = paths[i];
        assert_null(upstreams_create(&world.loop, &world.config, &failure));
        assert_contains(failure.text, "no certificates to trust in ");
        assert_contains(failure.text, paths[i]);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, world_setup, tls_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_answer_over_tls),
        TEST(test_many_in_flight),
        TEST(test_address_in_the_certificate),
        TEST(test_resumption_13),
        TEST(test_resumption_12),
        TEST(test_directory_of_authorities),
        TEST(test_wrong_name),
        TEST(test_name_only_in_the_subject),
        TEST(test_wrong_address),
        TEST(test_expired),
        TEST(test_not_yet_valid),
        TEST(test_self_signed),
        TEST(test_old_tls),
        TEST(test_server_without_tls),
        TEST(test_no_authorities),
    };
    FILE *file = fopen(support_path("ca.pem"), "w");

    for (unsigned i = 0; i < FAKE_CONNECTIONS; i++)
        one.connections[i].source.fd = -1;
    one.listener.fd = -1;
    key = EVP_EC_gen("P-256");
    authority = make_certificate("Test authority", NULL, -DAY_S, FOREVER, true);
    PEM_write_X509(file, authority);
    fclose(file);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    X509_free(authority);
    EVP_PKEY_free(key);
    return failed;
}
