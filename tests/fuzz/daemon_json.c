/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Docker's daemon.json with our name server. Input: the file. If it is an object to json-c, too,
 * our text has our server alone and all else as before. Edited again it stays as it is.
 */
#include <json-c/json.h>
#include <string.h>

#include "dns/files/takeover.h"
#include "packet/addr.h"
#include "tests/fuzz/fuzz.h"

static const char server[] = "192.0.2.53";

static char *edit(const char *original)
{
    struct ip_addr address;
    struct failure failure = {""};
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    CHECK(out != NULL && addr_parse(server, &address));
    bool good = daemon_json_edit(original, &address, out, &failure);
    fclose(out);
    CHECK(good || failure.text[0] != '\0');
    if (good)
        return text;
    free(text);
    return NULL;
}

static struct json_object *parse(const char *text)
{
    struct json_tokener *tokener = json_tokener_new();
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    struct json_object *object = json_tokener_parse_ex(tokener, text, (int)strlen(text) + 1);

    if (json_tokener_get_error(tokener) != json_tokener_success ||
        text[json_tokener_get_parse_end(tokener)] != '\0') {
        json_object_put(object);
        object = NULL;
    }
    json_tokener_free(tokener);
    return object;
}

static void check_object(struct json_object *original, const char *edited)
{
    struct json_object *ours = parse(edited), *dns = NULL;

    CHECK(ours != NULL && json_object_object_get_ex(ours, "dns", &dns));
    CHECK(json_object_is_type(dns, json_type_array) && json_object_array_length(dns) == 1);
    CHECK(strcmp(json_object_get_string(json_object_array_get_idx(dns, 0)), server) == 0);
    json_object_object_del(original, "dns");
    json_object_object_del(ours, "dns");
    CHECK(json_object_equal(original, ours));
    json_object_put(ours);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    memcpy(text, data, size);
    text[size] = '\0';
    char *once = edit(text);
    struct json_object *object = parse(text);
    if (once != NULL && json_object_is_type(object, json_type_object))
        check_object(object, once);
    if (once != NULL) {
        char *twice = edit(once);
        CHECK(twice != NULL && strcmp(once, twice) == 0);
        free(twice);
    }
    json_object_put(object);
    free(once);
    free(text);
    return 0;
}
