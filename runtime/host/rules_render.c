/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values and templates.
 *
 * A template is worked through line by line by render_block(), which calls itself for the lines
 * between %for or %if and their %end; a block that is not wanted is walked over in the same way
 * with output off, so that nesting is checked but names in it are not looked up.
 *
 * Values live in one list of scopes: the outermost one, and one per group. Everything is kept until
 * rules_values_free(); there are a few hundred at most.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/log.h"
#include "runtime/host/rules_private.h"

#define NAME_BYTES 32

struct value {
    struct value *next;
    char name[NAME_BYTES];
    char *text;
};

struct group {
    struct group *next;
    struct value *values;
};

struct list {
    struct list *next;
    char name[NAME_BYTES];
    struct group *first, **last;
};

struct rules_values {
    struct value *values;
    struct list *lists;
    struct group *open; /* filled by rules_group_set() */
    char fault[128];    /* what a caller did wrong; reported by rules_render() */
};

static void *must_allocate(size_t bytes)
{
    void *memory = calloc(1, bytes);

    if (memory == NULL)
        die("out of memory for the firewall rules");
    return memory;
}

struct rules_values *rules_values_new(void)
{
    return must_allocate(sizeof(struct rules_values));
}

static void free_values(struct value *value)
{
    while (value != NULL) {
        struct value *next = value->next;
        free(value->text);
        free(value);
        value = next;
    }
}

void rules_values_free(struct rules_values *values)
{
    if (values == NULL)
        return;
    free_values(values->values);
    while (values->lists != NULL) {
        struct list *list = values->lists;
        values->lists = list->next;
        while (list->first != NULL) {
            struct group *group = list->first;
            list->first = group->next;
            free_values(group->values);
            free(group);
        }
        free(list);
    }
    free(values);
}

static struct value *find_value(struct value *value, const char *name)
{
    while (value != NULL && strcmp(value->name, name) != 0)
        value = value->next;
    return value;
}

static struct list *find_list(const struct rules_values *values, const char *name)
{
    struct list *list = values->lists;

    while (list != NULL && strcmp(list->name, name) != 0)
        list = list->next;
    return list;
}

/* A value that could break out of its line would be a rule that nobody wrote. */
static bool is_clean(const char *text)
{
    for (; *text != '\0'; text++) {
        if (iscntrl((unsigned char)*text))
            return false;
    }
    return true;
}

static void set_value(struct rules_values *values, struct value **scope, const char *name,
                      const char *format, va_list arguments) __attribute__((format(printf, 4, 0)));

static void set_value(struct rules_values *values, struct value **scope, const char *name,
                      const char *format, va_list arguments)
{
    struct value *value = find_value(*scope, name);
    char *text;

    if (vasprintf(&text, format, arguments) < 0)
        die("out of memory for the firewall rules");
    if (strlen(name) >= NAME_BYTES || !is_clean(text)) {
        snprintf(values->fault, sizeof(values->fault), "the value of \"%s\" cannot stand in a rule",
                 name);
        free(text);
        return;
    }
    if (value == NULL) {
        value = must_allocate(sizeof(*value));
        strcpy(value->name, name);
        value->next = *scope;
        *scope = value;
    }
    free(value->text);
    value->text = text;
}

void rules_set(struct rules_values *values, const char *name, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    set_value(values, &values->values, name, format, arguments);
    va_end(arguments);
}

void rules_list(struct rules_values *values, const char *list)
{
    struct list *entry;

    if (find_list(values, list) != NULL)
        return;
    if (strlen(list) >= NAME_BYTES) {
        snprintf(values->fault, sizeof(values->fault), "the name of list \"%s\" is too long", list);
        return;
    }
    entry = must_allocate(sizeof(*entry));
    strcpy(entry->name, list);
    entry->last = &entry->first;
    entry->next = values->lists;
    values->lists = entry;
}

void rules_group(struct rules_values *values, const char *list)
{
    struct list *entry;

    rules_list(values, list);
    entry = find_list(values, list);
    if (entry == NULL)
        return;
    values->open = must_allocate(sizeof(*values->open));
    *entry->last = values->open;
    entry->last = &values->open->next;
}

void rules_group_set(struct rules_values *values, const char *name, const char *format, ...)
{
    va_list arguments;

    if (values->open == NULL) {
        snprintf(values->fault, sizeof(values->fault), "\"%s\" is set outside of a group", name);
        return;
    }
    va_start(arguments, format);
    set_value(values, &values->open->values, name, format, arguments);
    va_end(arguments);
}

/* Groups from the innermost %for outwards. */
struct scope {
    const struct scope *outer;
    const struct group *group;
};

struct renderer {
    const struct rules_values *values;
    const char *line; /* start of the line to be read next; its end when done */
    unsigned number;  /* of the current line */
    struct text output;
    struct failure *failure;
    bool failed;
};

static void fail(struct renderer *r, const char *what, const char *name, size_t name_length)
{
    if (!r->failed)
        failure_set(r->failure, "rule template, line %u: %s \"%.*s\"", r->number, what,
                    (int)name_length, name);
    r->failed = true;
}

static const char *lookup(struct renderer *r, const struct scope *scope, const char *name,
                          size_t length)
{
    char key[NAME_BYTES];
    const struct value *value = NULL;

    if (length >= sizeof(key)) {
        fail(r, "unknown name", name, length);
        return "";
    }
    memcpy(key, name, length);
    key[length] = '\0';
    for (; scope != NULL && value == NULL; scope = scope->outer)
        value = find_value(scope->group->values, key);
    if (value == NULL)
        value = find_value(r->values->values, key);
    if (value == NULL) {
        fail(r, "unknown name", name, length);
        return "";
    }
    return value->text;
}

static void render_line(struct renderer *r, const struct scope *scope, const char *line,
                        size_t length)
{
    const char *end = line + length;

    while (line < end && !r->failed) {
        const char *dollar = memmem(line, (size_t)(end - line), "${", 2);
        const char *close = dollar == NULL ? NULL : memchr(dollar, '}', (size_t)(end - dollar));
        const char *text;

        if (dollar == NULL) {
            text_append(&r->output, line, (size_t)(end - line));
            break;
        }
        if (close == NULL) {
            fail(r, "no } behind", dollar, (size_t)(end - dollar));
            return;
        }
        text_append(&r->output, line, (size_t)(dollar - line));
        text = lookup(r, scope, dollar + 2, (size_t)(close - dollar - 2));
        text_append(&r->output, text, strlen(text));
        line = close + 1;
    }
    text_append(&r->output, "\n", 1);
}

enum directive { PLAIN_LINE, DIRECTIVE_FOR, DIRECTIVE_IF, DIRECTIVE_ELSE, DIRECTIVE_END };

/* One line of the template: its text without the newline, or a directive and its argument. */
struct line {
    enum directive directive;
    const char *text;
    size_t length;
};

/* False at the end of the template. */
static bool next_line(struct renderer *r, struct line *out)
{
    static const struct {
        const char *word;
        enum directive directive;
        bool takes_name;
    } table[] = {{"%for", DIRECTIVE_FOR, true},
                 {"%if", DIRECTIVE_IF, true},
                 {"%else", DIRECTIVE_ELSE, false},
                 {"%end", DIRECTIVE_END, false}};
    const char *text = r->line;
    size_t length = strcspn(text, "\n"), indent = strspn(text, " \t");

    if (*text == '\0')
        return false;
    r->line += length + (text[length] == '\n');
    r->number++;
    *out = (struct line){PLAIN_LINE, text, length};
    if (text[indent] != '%')
        return true;
    text += indent;
    length -= indent;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        size_t word = strlen(table[i].word);
        if (length < word || strncmp(text, table[i].word, word) != 0)
            continue;
        if (table[i].takes_name ? length > word + 1 && text[word] == ' ' : length == word) {
            word += table[i].takes_name;
            *out = (struct line){table[i].directive, text + word, length - word};
            return true;
        }
    }
    fail(r, "unknown directive", text, length);
    return true;
}

static enum directive render_block(struct renderer *r, const struct scope *scope, bool wanted);

static void render_if(struct renderer *r, const struct scope *scope, const struct line *line,
                      bool wanted)
{
    bool yes = wanted && lookup(r, scope, line->text, line->length)[0] != '\0';
    enum directive end = render_block(r, scope, yes);

    if (end == DIRECTIVE_ELSE)
        end = render_block(r, scope, wanted && !yes);
    if (end != DIRECTIVE_END)
        fail(r, "no single %end for %if", line->text, line->length);
}

static void render_for(struct renderer *r, const struct scope *scope, const struct line *line,
                       bool wanted)
{
    const char *body = r->line;
    unsigned number = r->number;
    char name[NAME_BYTES];
    const struct list *list = NULL;
    const struct group *group;
    enum directive end;

    snprintf(name, sizeof(name), "%.*s", (int)line->length, line->text);
    if (wanted) {
        list = find_list(r->values, name);
        if (list == NULL)
            fail(r, "unknown list", line->text, line->length);
    }
    group = list == NULL ? NULL : list->first;
    do {
        struct scope inner = {scope, group};

        r->line = body;
        r->number = number;
        end = render_block(r, group == NULL ? scope : &inner, group != NULL);
        group = group == NULL ? NULL : group->next;
    } while (group != NULL && !r->failed);
    if (end != DIRECTIVE_END)
        fail(r, "no %end for %for", line->text, line->length);
}

/* Up to the line that ends this block, which is returned: %end or %else; PLAIN_LINE at the end of
 * the template. */
static enum directive render_block(struct renderer *r, const struct scope *scope, bool wanted)
{
    struct line line;

    while (!r->failed && next_line(r, &line)) {
        if (r->failed)
            break;
        switch (line.directive) {
        case PLAIN_LINE:
            if (wanted)
                render_line(r, scope, line.text, line.length);
            break;
        case DIRECTIVE_IF:
        case DIRECTIVE_FOR:
            if (line.directive == DIRECTIVE_IF)
                render_if(r, scope, &line, wanted);
            else
                render_for(r, scope, &line, wanted);
            break;
        case DIRECTIVE_ELSE:
        case DIRECTIVE_END:
            return line.directive;
        }
    }
    return PLAIN_LINE;
}

char *rules_render(const char *template_text, const struct rules_values *values,
                   struct failure *failure)
{
    struct renderer r = {.values = values, .line = template_text, .failure = failure};

    if (values->fault[0] != '\0') {
        failure_set(failure, "%s", values->fault);
        return NULL;
    }
    text_append(&r.output, "", 0);
    if (render_block(&r, NULL, true) != PLAIN_LINE)
        fail(&r, "nothing to end with", "%end", 4);
    if (!r.failed)
        return r.output.bytes;
    text_free(&r.output);
    return NULL;
}
