/* SPDX-License-Identifier: Apache-2.0 */
/* One NFQUEUE message. Input: its bytes. What is accepted has its packet inside the message. */
#include <string.h>

#include "runtime/host/nfqueue.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nfqueue_packet packet;
    uint8_t *message = malloc(size > 0 ? size : 1);

    memcpy(message, data, size);
    if (nfqueue_parse(message, size, &packet)) {
        CHECK(packet.length <= NFQUEUE_PAYLOAD_MAX);
        if (packet.payload == NULL) {
            CHECK(packet.length == 0);
        } else {
            CHECK(packet.payload >= message && packet.payload + packet.length <= message + size);
            CHECK(memcmp(packet.payload, data + (packet.payload - message), packet.length) == 0);
        }
    }
    CHECK(memcmp(message, data, size) == 0);
    free(message);
    return 0;
}
