/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs scenarios: scripted servers, questions, expectations, one thing a line.
 *
 *   scenario TITLE                begins one; what follows belongs to it
 *   server NAME WORDS             round-trip MS, strict, ordered, plain, stalled, refuses, gone,
 *                                 bad-certificate, closes-after N, at-most N, tls
 *   rule SERVER PATTERN KIND      answer [MS], silent, rcode N [MS], bare N, close, reset, junk,
 *                                 foreign, case, trailer
 *   timeout MS                    how long a question may take (default 4000)
 *   at MS ask NAME                also: ask NAME COUNT EVERY, with NAME's "%" a number
 *   at MS server NAME WORDS       also with "well" (nothing special any more)
 *   at MS rule ...                as above
 *   at MS close SERVER            all its connections; also: reset SERVER, freeze SERVER
 *   expect answered PATTERN [within MS]      each one; MS above what the server itself needs
 *   expect failed PATTERN [REASON] [within MS]
 *   expect rcode PATTERN N        answered, with that rcode
 *   expect from PATTERN SERVER    who answered
 *   expect healthy SERVER         or: down SERVER, at the end
 *   expect connections SERVER N   at most, in all; open SERVER N: at a time
 *   expect queries SERVER N       at most, probes included
 *   expect unasked SERVER         not a single query
 *
 * With --verbose in front of the files it says what happens on each connection.
 *
 * Every question must end exactly once and in time, whether a scenario expects anything of it or
 * not. Without a word of it, a question that is answered may take 50 ms longer than its server.
 */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/upstream/upstreams.h"
#include "runtime/base/log.h"
#include "tests/dns_scenarios/network.h"

#define QUESTIONS_MAX 4096
#define STEPS_MAX     256
#define WORDS_MAX     16
#define LINE_BYTES    256
#define WITHIN_MS     50
#define TURNS_MAX     10000 /* without a step of the clock */

struct words {
    unsigned count;
    char *word[WORDS_MAX];
    char text[LINE_BYTES];
};

struct question {
    char name[64];
    uint64_t asked_ms, ended_ms;
    unsigned ends;
    enum upstream_failure failure;
    uint16_t rcode;
    unsigned from; /* server + 1; 0: nobody */
};

struct step {
    unsigned at_ms;
    struct words words;
};

static struct question questions[QUESTIONS_MAX];
static unsigned question_count, ended_count;
static struct step steps[STEPS_MAX], expectations[STEPS_MAX];
static unsigned step_count, expectation_count, timeout_ms, failures, scenarios;
static char title[LINE_BYTES];
static struct upstreams *upstreams;
static bool server_is_tls[SERVERS_MAX];

static void fail(const char *what, const char *detail)
{
    fprintf(stderr, "%s: %s %s\n", title, what, detail);
    failures++;
}

static void wrong_line(const struct words *words)
{
    fprintf(stderr, "%s: cannot read:", title);
    for (unsigned i = 0; i < words->count; i++)
        fprintf(stderr, " %s", words->word[i]);
    fprintf(stderr, "\n");
    exit(2);
}

/* ---- words ---- */

static void split(const char *line, struct words *out)
{
    char *rest = NULL;

    snprintf(out->text, sizeof(out->text), "%s", line);
    out->count = 0;
    for (char *word = strtok_r(out->text, " \t\n", &rest); word != NULL && out->count < WORDS_MAX;
         word = strtok_r(NULL, " \t\n", &rest))
        out->word[out->count++] = word;
}

/* The words from `first` on, as a line of their own. */
static void rest_of(const struct words *words, unsigned first, struct words *out)
{
    char line[LINE_BYTES] = "";
    size_t used = 0;

    for (unsigned i = first; i < words->count; i++)
        used += (size_t)snprintf(line + used, sizeof(line) - used, "%s ", words->word[i]);
    split(line, out);
}

static bool is_word(const struct words *words, unsigned index, const char *word)
{
    return index < words->count && strcmp(words->word[index], word) == 0;
}

static unsigned number_at(const struct words *words, unsigned index)
{
    char *end = NULL;
    unsigned long number = index < words->count ? strtoul(words->word[index], &end, 10) : 0;

    if (end == NULL || *end != '\0' || end == words->word[index])
        wrong_line(words);
    return (unsigned)number;
}

static struct server *server_of(const struct words *words, unsigned index)
{
    for (unsigned i = 0; i < server_count && index < words->count; i++)
        if (strcmp(servers[i].name, words->word[index]) == 0)
            return &servers[i];
    wrong_line(words);
    return NULL;
}

/* ---- servers ---- */

static void set_well(struct server *server)
{
    server->strict = server->ordered = server->plain = server->stalled = server->refuses = false;
    server->gone = server->bad_certificate = false;
    server->closes_after = server->most = 0;
}

static void set_manner(struct server *server, const struct words *words, unsigned first)
{
    static const struct {
        const char *word;
        size_t at;
    } flags[] = {
        {"strict", offsetof(struct server, strict)},
        {"ordered", offsetof(struct server, ordered)},
        {"plain", offsetof(struct server, plain)},
        {"stalled", offsetof(struct server, stalled)},
        {"refuses", offsetof(struct server, refuses)},
        {"gone", offsetof(struct server, gone)},
        {"bad-certificate", offsetof(struct server, bad_certificate)},
    };

    for (unsigned i = first; i < words->count; i++) {
        bool known = false;
        for (unsigned j = 0; j < sizeof(flags) / sizeof(flags[0]); j++)
            if (is_word(words, i, flags[j].word)) {
                *(bool *)((char *)server + flags[j].at) = true;
                known = true;
            }
        if (known)
            continue;
        if (is_word(words, i, "well"))
            set_well(server);
        else if (is_word(words, i, "tls"))
            server_is_tls[server - servers] = true;
        else if (is_word(words, i, "round-trip"))
            server->trip_ms = number_at(words, ++i);
        else if (is_word(words, i, "closes-after"))
            server->closes_after = number_at(words, ++i);
        else if (is_word(words, i, "at-most"))
            server->most = number_at(words, ++i);
        else
            wrong_line(words);
    }
}

static void add_server(const struct words *words)
{
    struct server *server = &servers[server_count];

    if (server_count == SERVERS_MAX || words->count < 2)
        wrong_line(words);
    snprintf(server->name, sizeof(server->name), "%s", words->word[1]);
    server->trip_ms = 2;
    server_is_tls[server_count] = false;
    server_count++;
    set_manner(server, words, 2);
}

static void add_rule(const struct words *words)
{
    static const struct {
        const char *word;
        enum rule_kind kind;
        bool has_rcode;
    } kinds[] = {
        {"answer", RULE_ANSWER, false}, {"silent", RULE_SILENT, false},
        {"rcode", RULE_RCODE, true},    {"bare", RULE_BARE, true},
        {"close", RULE_CLOSE, false},   {"reset", RULE_RESET, false},
        {"junk", RULE_JUNK, false},     {"foreign", RULE_FOREIGN, false},
        {"case", RULE_CASE, false},     {"trailer", RULE_TRAILER, false},
    };
    struct server *server = server_of(words, 1);
    struct rule *rule = &server->rules[server->rule_count++];

    if (words->count < 4 || server->rule_count > RULES_MAX)
        wrong_line(words);
    *rule = (struct rule){0};
    snprintf(rule->pattern, sizeof(rule->pattern), "%s", words->word[2]);
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (is_word(words, 3, kinds[i].word)) {
            unsigned next = 4;
            rule->kind = kinds[i].kind;
            if (kinds[i].has_rcode)
                rule->rcode = (uint8_t)number_at(words, next++);
            rule->work_ms = next < words->count ? number_at(words, next) : 0;
            return;
        }
    wrong_line(words);
}

/* ---- questions ---- */

static void done(void *context, uint64_t token, enum upstream_failure failure,
                 const struct dns_answer *answer, const char *from)
{
    struct question *question = &questions[token];

    (void)context, (void)from;
    ended_count += question->ends++ == 0;
    question->ended_ms = network_now_us / 1000;
    question->failure = failure;
    question->rcode = answer != NULL ? answer->rcode : 0;
    question->from =
        answer != NULL && answer->rcode == 0 && answer->length > 0 && answer->bytes[7] == 1
            ? answer->bytes[answer->length - 1]
            : 0;
}

static void ask_one(const char *name)
{
    struct question *question = &questions[question_count];
    struct dns_query query = {.recursion_desired = true, .question = {.type = 1, .class = 1}};

    if (question_count == QUESTIONS_MAX || !dns_name_from_text(name, &query.question.name)) {
        fail("cannot ask", name);
        exit(2);
    }
    *question = (struct question){.asked_ms = network_now_us / 1000};
    snprintf(question->name, sizeof(question->name), "%s", name);
    uint64_t token = question_count++;
    if (!upstreams_ask(upstreams, token, &query, question->asked_ms,
                       question->asked_ms + timeout_ms))
        done(NULL, token, UPSTREAM_FULL, NULL, NULL);
}

/* ---- steps ---- */

static void add_step(unsigned at_ms, const struct words *words, unsigned first)
{
    struct step *step = &steps[step_count++];

    if (step_count > STEPS_MAX)
        wrong_line(words);
    step->at_ms = at_ms;
    rest_of(words, first, &step->words);
}

/* "ask n% 30 2" at 100: n0 at 100, n1 at 102 and so on; each a step of its own would be too many,
 * so the step puts itself off until all have been asked. */
static void ask_series(struct step *step)
{
    struct words *words = &step->words;
    unsigned count = number_at(words, 2), every = number_at(words, 3);
    unsigned asked = words->count > 4 ? number_at(words, 4) : 0;
    char name[64], line[LINE_BYTES];
    const char *pattern = words->word[1], *mark = strchr(pattern, '%');

    do {
        if (mark == NULL)
            wrong_line(words);
        snprintf(name, sizeof(name), "%.*s%u%s", (int)(mark - pattern), pattern, asked, mark + 1);
        ask_one(name);
        asked++;
    } while (every == 0 && asked < count);
    if (asked >= count) {
        step->at_ms = UINT32_MAX;
        return;
    }
    step->at_ms += every;
    snprintf(line, sizeof(line), "ask %.60s %u %u %u", pattern, count, every, asked);
    split(line, words);
}

static void take_step(struct step *step)
{
    const struct words *words = &step->words;
    unsigned at_ms = step->at_ms;

    if (is_word(words, 0, "ask") && words->count > 2) {
        ask_series(step);
        return;
    }
    if (is_word(words, 0, "ask") && words->count == 2)
        ask_one(words->word[1]);
    else if (is_word(words, 0, "server"))
        set_manner(server_of(words, 1), words, 2);
    else if (is_word(words, 0, "rule"))
        add_rule(words);
    else if (is_word(words, 0, "close") || is_word(words, 0, "reset"))
        server_close_all(server_of(words, 1), is_word(words, 0, "reset"));
    else if (is_word(words, 0, "freeze"))
        server_freeze(server_of(words, 1));
    else
        wrong_line(words);
    if (step->at_ms == at_ms)
        step->at_ms = UINT32_MAX;
}

static struct step *next_step(void)
{
    struct step *next = NULL;

    for (unsigned i = 0; i < step_count; i++)
        if (steps[i].at_ms != UINT32_MAX && (next == NULL || steps[i].at_ms < next->at_ms))
            next = &steps[i];
    return next;
}

/* ---- running ---- */

static void open_upstreams(void)
{
    static struct upstreams_config config;
    struct failure failure;
    char text[64];

    config = (struct upstreams_config){
        .count = server_count,
        .in_flight_max = QUESTIONS_MAX,
        .idle_ms = UPSTREAM_IDLE_MS,
        .attempt_ms = UPSTREAM_ATTEMPT_MS,
        .hedge_ms = UPSTREAM_HEDGE_MS,
        .done = done,
        .clock_us = network_clock_us,
    };
    for (unsigned i = 0; i < server_count; i++) {
        snprintf(text, sizeof(text), "%s://192.0.2.1:%u%s", server_is_tls[i] ? "tls" : "tcp", i + 1,
                 server_is_tls[i] ? "#dns.test" : "");
        if (!upstream_parse(text, &config.specs[i], &failure))
            fail(text, failure.text);
    }
    upstreams = upstreams_create(NULL, &config, &failure);
    if (upstreams == NULL) {
        fail("no upstreams:", failure.text);
        exit(2);
    }
}

/* One round: what is due now, then the clock jumps. False: everything has come to its end. */
static bool turn(uint64_t start_ms)
{
    struct step *step = next_step();
    uint64_t next_us = network_next_us(), now_ms = network_now_us / 1000;

    if (step != NULL && (start_ms + step->at_ms) * 1000 < next_us)
        next_us = (start_ms + step->at_ms) * 1000;
    int wait_ms = upstreams_timeout(upstreams, now_ms);
    if (wait_ms >= 0 && (now_ms + (uint64_t)wait_ms) * 1000 < next_us)
        next_us = (now_ms + (uint64_t)wait_ms) * 1000;
    if (step == NULL && ended_count == question_count)
        return false;
    if (next_us == UINT64_MAX) {
        fail("nothing happens any more, but questions wait", "");
        return false;
    }
    if (next_us > network_now_us)
        network_now_us = next_us;
    network_run();
    while ((step = next_step()) != NULL && (start_ms + step->at_ms) * 1000 <= network_now_us)
        take_step(step);
    upstreams_tick(upstreams, network_now_us / 1000);
    return true;
}

static void run(void)
{
    uint64_t start_ms = network_now_us / 1000, then_us = 0;
    unsigned turns = 0;

    open_upstreams();
    while (turn(start_ms)) {
        turns = network_now_us == then_us ? turns + 1 : 0;
        then_us = network_now_us;
        if (turns == TURNS_MAX) {
            fail("stands still", "");
            break;
        }
    }
}

/* ---- expectations ---- */

static void describe(const struct question *question, char *out, size_t size)
{
    snprintf(out, size, "%.64s asked at %llu: %s, rcode %u, after %llu ms, from %.32s",
             question->name, (unsigned long long)(question->asked_ms - 1000000),
             upstream_failure_name(question->failure), question->rcode,
             (unsigned long long)(question->ended_ms - question->asked_ms),
             question->from > 0 ? servers[question->from - 1].name : "nobody");
}

static void fail_question(const char *what, const struct question *question)
{
    char text[2 * LINE_BYTES];

    describe(question, text, sizeof(text));
    fail(what, text);
}

/* How long it took above what the server that answered needs. */
static unsigned excess_ms(const struct question *question)
{
    uint64_t taken = question->ended_ms - question->asked_ms;
    unsigned ideal =
        question->from > 0 ? server_ideal_ms(&servers[question->from - 1], question->name) : 0;

    return taken > ideal ? (unsigned)(taken - ideal) : 0;
}

static unsigned within_of(const struct words *words, unsigned otherwise)
{
    for (unsigned i = 1; i + 1 < words->count; i++)
        if (is_word(words, i, "within"))
            return number_at(words, i + 1);
    return otherwise;
}

/* The latest expectation of "answered" that has a word for this name. */
static unsigned allowed_ms(const struct question *question)
{
    for (unsigned i = expectation_count; i-- > 0;) {
        const struct words *words = &expectations[i].words;
        if (is_word(words, 0, "answered") && fnmatch(words->word[1], question->name, 0) == 0)
            return within_of(words, WITHIN_MS);
    }
    return WITHIN_MS;
}

static void check_question(const struct question *question)
{
    if (question->ends != 1)
        fail_question("did not end once:", question);
    if (question->ended_ms - question->asked_ms > timeout_ms + 1)
        fail_question("ended late:", question);
    if (question->from > 0 && excess_ms(question) > allowed_ms(question))
        fail_question("was slow:", question);
}

static bool meets(const struct words *words, const struct question *question)
{
    bool answered = question->failure == UPSTREAM_ANSWERED;

    if (is_word(words, 0, "answered"))
        return answered && question->rcode == 0 && question->from > 0;
    if (is_word(words, 0, "rcode"))
        return answered && question->rcode == number_at(words, 2);
    if (is_word(words, 0, "from"))
        return question->from == (unsigned)(server_of(words, 2) - servers) + 1;
    if (is_word(words, 0, "failed")) {
        uint64_t taken = question->ended_ms - question->asked_ms;
        bool named = words->count > 2 && !is_word(words, 2, "within");
        return !answered && taken <= within_of(words, UINT32_MAX) &&
               (!named || strcmp(words->word[2], upstream_failure_name(question->failure)) == 0);
    }
    wrong_line(words);
    return false;
}

static void expect_questions(const struct words *words)
{
    unsigned matched = 0;

    for (unsigned i = 0; i < question_count; i++)
        if (fnmatch(words->word[1], questions[i].name, 0) == 0) {
            matched++;
            if (!meets(words, &questions[i]))
                fail_question(words->word[0], &questions[i]);
        }
    if (matched == 0)
        fail("no question matches", words->word[1]);
}

static void expect_server(const struct words *words)
{
    const struct server *server = server_of(words, 1);
    bool healthy = upstreams_stats(upstreams, (unsigned)(server - servers))->healthy;
    char text[LINE_BYTES];

    snprintf(text, sizeof(text), "%.32s: healthy %d, %u connections, %u at a time, %u queries",
             server->name, healthy, server->accepted, server->open_most, server->queries);
    if ((is_word(words, 0, "healthy") && !healthy) || (is_word(words, 0, "down") && healthy) ||
        (is_word(words, 0, "unasked") && server->queries > 0) ||
        (is_word(words, 0, "connections") && server->accepted > number_at(words, 2)) ||
        (is_word(words, 0, "open") && server->open_most > number_at(words, 2)) ||
        (is_word(words, 0, "queries") && server->queries > number_at(words, 2)))
        fail(words->word[0], text);
}

static void check(void)
{
    static const char *const of_questions[] = {"answered", "failed", "rcode", "from"};
    static const char *const of_servers[] = {"healthy",     "down", "unasked",
                                             "connections", "open", "queries"};

    for (unsigned i = 0; i < question_count; i++)
        check_question(&questions[i]);
    for (unsigned i = 0; i < expectation_count; i++) {
        const struct words *words = &expectations[i].words;
        bool known = false;
        for (unsigned j = 0; j < sizeof(of_questions) / sizeof(of_questions[0]); j++)
            if (is_word(words, 0, of_questions[j])) {
                expect_questions(words);
                known = true;
            }
        for (unsigned j = 0; j < sizeof(of_servers) / sizeof(of_servers[0]); j++)
            if (is_word(words, 0, of_servers[j])) {
                expect_server(words);
                known = true;
            }
        if (!known)
            wrong_line(words);
    }
    if (expectation_count == 0)
        fail("expects nothing", "");
}

/* ---- files ---- */

static void finish_scenario(void)
{
    if (title[0] == '\0')
        return;
    unsigned before = failures;
    run();
    check();
    upstreams_free(upstreams);
    upstreams = NULL;
    scenarios++;
    printf("%s %u - %s\n", failures == before ? "ok" : "not ok", scenarios, title);
}

static void begin_scenario(const char *line)
{
    finish_scenario();
    network_reset();
    question_count = ended_count = step_count = expectation_count = 0;
    timeout_ms = 4000;
    snprintf(title, sizeof(title), "%.*s", (int)strcspn(line, "\n"), line);
}

static void take_line(const char *line)
{
    struct words words;

    split(line, &words);
    if (words.count == 0 || words.word[0][0] == '#')
        return;
    if (is_word(&words, 0, "scenario"))
        begin_scenario(line + strlen("scenario "));
    else if (is_word(&words, 0, "server"))
        add_server(&words);
    else if (is_word(&words, 0, "rule"))
        add_rule(&words);
    else if (is_word(&words, 0, "timeout"))
        timeout_ms = number_at(&words, 1);
    else if (is_word(&words, 0, "at"))
        add_step(number_at(&words, 1), &words, 2);
    else if (is_word(&words, 0, "expect") && words.count > 2 && expectation_count < STEPS_MAX)
        rest_of(&words, 1, &expectations[expectation_count++].words);
    else
        wrong_line(&words);
}

int main(int argc, char **argv)
{
    char line[LINE_BYTES];

    log_init("scenarios", LOG_LEVEL_ERROR);
    setvbuf(stdout, NULL, _IOLBF, 0);
    network_verbose = argc > 1 && strcmp(argv[1], "--verbose") == 0;
    for (int i = 1 + network_verbose; i < argc; i++) {
        FILE *file = fopen(argv[i], "r");
        if (file == NULL) {
            perror(argv[i]);
            return 2;
        }
        while (fgets(line, sizeof(line), file) != NULL)
            take_line(line);
        fclose(file);
        finish_scenario();
        title[0] = '\0';
    }
    printf("%u scenarios, %u failures\n", scenarios, failures);
    return failures > 0 || scenarios == 0;
}
