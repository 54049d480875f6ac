/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/upstream/tls.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "packet/addr.h"

/* Where Debian keeps the bundle; OpenSSL's own default would be a directory read during verifying.
 */
#define SYSTEM_BUNDLE "/etc/ssl/certs/ca-certificates.crt"

static bool load_file(SSL_CTX *context, const char *path)
{
    bool loaded = SSL_CTX_load_verify_file(context, path) == 1;

    ERR_clear_error();
    return loaded;
}

/* Every file of a directory now: later, in the sandbox, none can be opened. */
static bool load_directory(SSL_CTX *context, const char *path)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    struct stat status;
    char name[4096];
    bool loaded = false;

    if (directory == NULL)
        return false;
    while ((entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.' &&
            snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) < (int)sizeof(name) &&
            stat(name, &status) == 0 && S_ISREG(status.st_mode))
            loaded |= load_file(context, name);
    closedir(directory);
    return loaded;
}

static bool load_certificates(SSL_CTX *context, const char *ca)
{
    struct stat status;

    if (ca != NULL)
        return stat(ca, &status) == 0 && S_ISDIR(status.st_mode) ? load_directory(context, ca)
                                                                 : load_file(context, ca);
    return load_file(context, SYSTEM_BUNDLE) || load_file(context, X509_get_default_cert_file()) ||
           load_directory(context, X509_get_default_cert_dir());
}

/* A ticket came (in TLS 1.3 after the handshake): the newest is kept. Takes the reference. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_peer *peer = SSL_get_app_data(ssl);

    tls_peer_forget(peer);
    peer->session = session;
    return 1;
}

SSL_CTX *tls_context_create(const char *ca, struct failure *failure)
{
    static const unsigned char alpn_dot[] = {3, 'd', 'o', 't'}; /* RFC 7858 registers it */
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_alpn_protos(context, alpn_dot, sizeof(alpn_dot)) != 0) {
        failure_set(failure, "cannot set up TLS");
    } else if (!load_certificates(context, ca)) {
        failure_set(failure, "no certificates to trust in %s",
                    ca != NULL ? ca : "the system's places (install ca-certificates, or --tls-ca)");
    } else {
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_session_cache_mode(context,
                                       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
        SSL_CTX_sess_set_new_cb(context, keep_session);
        /* Answers of many servers end in a bare FIN; messages carry their length, so that nothing
         * can be cut short unseen. */
        SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_RENEGOTIATION |
                                         SSL_OP_NO_COMPRESSION);
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
        return context;
    }
    SSL_CTX_free(context);
    ERR_clear_error();
    return NULL;
}

void tls_context_free(SSL_CTX *context)
{
    SSL_CTX_free(context);
}

void tls_peer_forget(struct tls_peer *peer)
{
    SSL_SESSION_free(peer->session);
    peer->session = NULL;
}

static bool expect_name(SSL *ssl, const char *name)
{
    struct ip_addr address;

    if (addr_parse(name, &address))
        return X509_VERIFY_PARAM_set1_ip(SSL_get0_param(ssl), address.bytes,
                                         addr_bits(&address) / 8) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

bool tls_open(struct tls *tls, struct tls_peer *peer)
{
    *tls = (struct tls){.peer = peer};
    if (peer->context == NULL || (tls->ssl = SSL_new(peer->context)) == NULL)
        return false;
    tls->from_network = BIO_new(BIO_s_mem());
    tls->to_network = BIO_new(BIO_s_mem());
    if (tls->from_network == NULL || tls->to_network == NULL ||
        !expect_name(tls->ssl, peer->name)) {
        BIO_free(tls->from_network);
        BIO_free(tls->to_network);
        SSL_free(tls->ssl);
        *tls = (struct tls){0};
        return false;
    }
    BIO_set_mem_eof_return(tls->from_network, -1); /* empty means "later", not "over" */
    BIO_set_mem_eof_return(tls->to_network, -1);
    SSL_set_bio(tls->ssl, tls->from_network, tls->to_network);
    SSL_set_app_data(tls->ssl, peer);
    SSL_set_connect_state(tls->ssl);
    if (peer->session != NULL) {
        SSL_set_session(tls->ssl, peer->session);
        /* A ticket of TLS 1.3 is for one use (RFC 8446 C.4), and new ones will come. */
        if (SSL_SESSION_get_protocol_version(peer->session) >= TLS1_3_VERSION)
            tls_peer_forget(peer);
    }
    return true;
}

void tls_shutdown(struct tls *tls)
{
    if (tls->ssl != NULL && SSL_is_init_finished(tls->ssl)) {
        SSL_shutdown(tls->ssl);
        ERR_clear_error();
    }
}

void tls_close(struct tls *tls)
{
    /* OpenSSL forbids to resume the session of a connection that was freed without close_notify in
     * either direction; a server that just hangs up has done nothing wrong with its ticket. */
    if (tls->ssl != NULL && SSL_is_init_finished(tls->ssl) && tls->reason[0] == '\0')
        SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(tls->ssl); /* and both BIOs */
    tls->ssl = NULL;
    tls->from_network = tls->to_network = NULL;
}

static void note_reason(struct tls *tls)
{
    long verified = SSL_get_verify_result(tls->ssl);
    const char *text = ERR_reason_error_string(ERR_peek_last_error());

    if (verified != X509_V_OK)
        snprintf(tls->reason, sizeof(tls->reason), "certificate refused: %s",
                 X509_verify_cert_error_string(verified));
    else
        snprintf(tls->reason, sizeof(tls->reason), "TLS: %s", text != NULL ? text : "broken off");
}

static enum tls_result outcome(struct tls *tls, int returned)
{
    switch (SSL_get_error(tls->ssl, returned)) {
    case SSL_ERROR_NONE:
        return TLS_OK;
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return TLS_WAITS;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_CLOSED;
    default:
        note_reason(tls);
        ERR_clear_error();
        return TLS_FAILED;
    }
}

enum tls_result tls_handshake(struct tls *tls)
{
    ERR_clear_error();
    return outcome(tls, SSL_do_handshake(tls->ssl));
}

bool tls_resumed(const struct tls *tls)
{
    return SSL_session_reused(tls->ssl) == 1;
}

enum tls_result tls_read(struct tls *tls, uint8_t *out, size_t size, size_t *done)
{
    ERR_clear_error();
    return outcome(tls, SSL_read_ex(tls->ssl, out, size, done));
}

enum tls_result tls_write(struct tls *tls, const uint8_t *bytes, size_t length, size_t *done)
{
    ERR_clear_error();
    return outcome(tls, SSL_write_ex(tls->ssl, bytes, length, done));
}

bool tls_feed(struct tls *tls, const uint8_t *bytes, size_t length)
{
    return BIO_write(tls->from_network, bytes, (int)length) == (int)length;
}

size_t tls_take(struct tls *tls, uint8_t *out, size_t size)
{
    int taken = BIO_read(tls->to_network, out, (int)size);

    return taken > 0 ? (size_t)taken : 0;
}

bool tls_has_output(const struct tls *tls)
{
    return tls->ssl != NULL && BIO_pending(tls->to_network) > 0;
}
