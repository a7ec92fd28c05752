/* SPDX-License-Identifier: MIT
 * The authority of certificates.h. The rule: every file it writes is in its list, so that closing
 * leaves nothing. */
#include "support/certificates.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILES = 24, PATH_SIZE = 160, DAY = 24 * 60 * 60 };

struct authority {
    char directory[64];
    EVP_PKEY *key;
    X509 *certificate;
    long serial;
    int files;
    char path[FILES][PATH_SIZE];
};

const char *authority_directory(const authority *self) { return self->directory; }

const char *authority_path(authority *self, const char *file)
{
    char path[PATH_SIZE];

    (void)snprintf(path, sizeof path, "%s/%s", self->directory, file);
    for (int i = 0; i < self->files; i++) {
        if (strcmp(self->path[i], path) == 0) return self->path[i];
    }
    assert_true(self->files < FILES);
    return memcpy(self->path[self->files++], path, sizeof path);
}

static FILE *create(authority *self, const char *stem, const char *suffix)
{
    char name[PATH_SIZE];

    (void)snprintf(name, sizeof name, "%s%s", stem, suffix);
    FILE *file = fopen(authority_path(self, name), "w");
    assert_non_null(file);
    return file;
}

static EVP_PKEY *new_key(void)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, NULL);

    assert_non_null(maker);
    assert_int_equal(EVP_PKEY_keygen_init(maker), 1);
    assert_int_equal(EVP_PKEY_CTX_set_ec_paramgen_curve_nid(maker, NID_X9_62_prime256v1), 1);
    assert_int_equal(EVP_PKEY_keygen(maker, &key), 1);
    EVP_PKEY_CTX_free(maker);
    return key;
}

static void extend(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;

    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* A certificate with everything but extensions and signature. */
static X509 *new_certificate(authority *self, EVP_PKEY *key, const char *subject,
                             enum certificate_validity validity)
{
    X509 *made = X509_new();
    assert_non_null(made);
    X509_NAME *name = X509_get_subject_name(made);

    assert_int_equal(X509_set_version(made, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(made), ++self->serial), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(made), -2 * DAY));
    assert_non_null(
        X509_gmtime_adj(X509_getm_notAfter(made), validity == CERTIFICATE_VALID ? DAY : -DAY));
    assert_int_equal(X509_set_pubkey(made, key), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                (const unsigned char *)subject, -1, -1, 0),
                     1);
    return made;
}

static void sign(authority *self, X509 *certificate, X509 *issuer)
{
    assert_int_equal(X509_set_issuer_name(certificate, X509_get_subject_name(issuer)), 1);
    assert_true(X509_sign(certificate, self->key, EVP_sha256()) > 0);
}

static void write_certificate(authority *self, X509 *certificate, const char *stem,
                              const char *suffix)
{
    FILE *file = create(self, stem, suffix);

    assert_int_equal(PEM_write_X509(file, certificate), 1);
    assert_int_equal(fclose(file), 0);
}

static void write_authority(authority *self)
{
    char hash[16];

    (void)snprintf(hash, sizeof hash, "%08lx", X509_subject_name_hash(self->certificate));
    write_certificate(self, self->certificate, "ca", ".pem");
    write_certificate(self, self->certificate, hash, ".0");
}

authority *authority_open(void)
{
    authority *self = calloc(1, sizeof *self);
    assert_non_null(self);
    (void)snprintf(self->directory, sizeof self->directory, "/tmp/redlock-ca-XXXXXX");
    assert_non_null(mkdtemp(self->directory));

    self->key = new_key();
    self->certificate = new_certificate(self, self->key, self->directory + 5, CERTIFICATE_VALID);
    extend(self->certificate, self->certificate, NID_basic_constraints, "critical,CA:TRUE");
    extend(self->certificate, self->certificate, NID_key_usage, "critical,keyCertSign");
    extend(self->certificate, self->certificate, NID_subject_key_identifier, "hash");
    sign(self, self->certificate, self->certificate);
    write_authority(self);
    return self;
}

void authority_close(authority *self)
{
    if (self == NULL) return;

    for (int i = 0; i < self->files; i++) (void)unlink(self->path[i]);
    (void)rmdir(self->directory);
    X509_free(self->certificate);
    EVP_PKEY_free(self->key);
    free(self);
}

void authority_issue(authority *self, const char *stem, const char *names,
                     enum certificate_validity validity)
{
    EVP_PKEY *key = new_key();
    X509 *made = new_certificate(self, key, stem, validity);

    if (names != NULL) extend(made, self->certificate, NID_subject_alt_name, names);
    extend(made, self->certificate, NID_authority_key_identifier, "keyid");
    sign(self, made, self->certificate);
    write_certificate(self, made, stem, ".pem");

    FILE *file = create(self, stem, ".key");
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
    X509_free(made);
    EVP_PKEY_free(key);
}

void authority_protect(authority *self, const char *stem, const char *file, const char *password)
{
    char name[PATH_SIZE];

    (void)snprintf(name, sizeof name, "%s.key", stem);
    FILE *from = fopen(authority_path(self, name), "r");
    assert_non_null(from);
    EVP_PKEY *key = PEM_read_PrivateKey(from, NULL, NULL, NULL);
    assert_non_null(key);
    assert_int_equal(fclose(from), 0);

    FILE *to = create(self, file, "");
    assert_int_equal(PEM_write_PrivateKey(to, key, EVP_aes_256_cbc(),
                                          (const unsigned char *)password, (int)strlen(password),
                                          NULL, NULL),
                     1);
    assert_int_equal(fclose(to), 0);
    EVP_PKEY_free(key);
}

static size_t read_file(const char *path, char *bytes, size_t size)
{
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    size_t length = fread(bytes, 1, size, file);
    assert_true(length > 0 && length < size);
    assert_int_equal(fclose(file), 0);
    return length;
}

/* At once, so that nobody reads half of it. */
static void replace(authority *self, const char *file, const char *bytes, size_t length)
{
    FILE *to = create(self, "new", "");

    assert_int_equal(fwrite(bytes, 1, length, to), length);
    assert_int_equal(fclose(to), 0);
    assert_int_equal(rename(authority_path(self, "new"), authority_path(self, file)), 0);
}

void authority_copy(authority *self, const char *file, authority *from, const char *source)
{
    char bytes[8192];

    replace(self, file, bytes, read_file(authority_path(from, source), bytes, sizeof bytes));
}

void authority_scribble(authority *self, const char *file, const char *words)
{
    replace(self, file, words, strlen(words));
}
