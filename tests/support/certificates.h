/* SPDX-License-Identifier: MIT
 * A throw-away certificate authority in a fresh directory, made by libcrypto alone. Everything it
 * signs is valid for a day around now, and is removed with it. A failure ends the test. */
#ifndef REDLOCK_TESTS_CERTIFICATES_H
#define REDLOCK_TESTS_CERTIFICATES_H

typedef struct authority authority;

enum certificate_validity { CERTIFICATE_VALID, CERTIFICATE_EXPIRED };

/* Its own certificate is the file "ca.pem", and once more under the name by which OpenSSL looks
 * into a directory of authorities. */
authority *authority_open(void);
void authority_close(authority *self); /* NULL is allowed */

const char *authority_directory(const authority *self);
/* The path of a file in its directory; valid until the authority is closed. */
const char *authority_path(authority *self, const char *file);

/* Writes <stem>.pem and <stem>.key. `names` is what the certificate is for, such as
 * "DNS:localhost,IP:127.0.0.1"; NULL for a client. Both servers and clients may show it. */
void authority_issue(authority *self, const char *stem, const char *names,
                     enum certificate_validity validity);

/* Writes the key of <stem> once more, as `file`, protected by a password. */
void authority_protect(authority *self, const char *stem, const char *file, const char *password);

/* Puts a file in the place of another, which is there at any moment: the old one or the new one. */
void authority_copy(authority *self, const char *file, authority *from, const char *source);

/* Writes a file of these words, which are no certificate. */
void authority_scribble(authority *self, const char *file, const char *words);

#endif
