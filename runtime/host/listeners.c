/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host/listeners.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

struct search {
    const char *protocol;
    bool (*visit)(const struct listener *listener, void *context);
    void *context;
};

static const struct nlattr *attribute(const struct nlmsghdr *message, uint16_t type, size_t bytes)
{
    const struct nlattr *found;

    mnl_attr_for_each(
        found, message,
        sizeof(struct inet_diag_msg)) if (mnl_attr_get_type(found) ==
                                          type) return mnl_attr_get_payload_len(found) >= bytes
        ? found
        : NULL;
    return NULL;
}

static int on_socket(const struct nlmsghdr *message, void *context)
{
    const struct search *search = context;
    const struct inet_diag_msg *socket = mnl_nlmsg_get_payload(message);
    struct listener listener = {.protocol = search->protocol};

    if (message->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        mnl_nlmsg_get_payload_len(message) < sizeof(*socket))
        return MNL_CB_OK;
    const struct nlattr *own = attribute(message, INET_DIAG_SKV6ONLY, 1);
    const struct nlattr *cgroup = attribute(message, INET_DIAG_CGROUP_ID, 8);
    listener.address.version = socket->idiag_family == AF_INET ? 4 : 6;
    memcpy(listener.address.bytes, socket->id.idiag_src, listener.address.version == 4 ? 4 : 16);
    listener.both_families = listener.address.version == 6 && addr_is_any(&listener.address) &&
                             !(own != NULL && mnl_attr_get_u8(own) != 0);
    listener.port = ntohs(socket->id.idiag_sport);
    listener.inode = socket->idiag_inode;
    listener.cgroup = cgroup != NULL ? mnl_attr_get_u64(cgroup) : 0;
    return search->visit(&listener, search->context) ? MNL_CB_OK : MNL_CB_STOP;
}

static int ask(struct mnl_socket *socket, uint8_t family, uint8_t protocol, uint32_t states,
               struct search *search)
{
    _Alignas(struct nlmsghdr) char buffer[8192];
    struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
    ssize_t bytes = 0;
    int result = MNL_CB_OK;

    header->nlmsg_type = SOCK_DIAG_BY_FAMILY;
    header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    struct inet_diag_req_v2 *request = mnl_nlmsg_put_extra_header(header, sizeof(*request));
    request->sdiag_family = family;
    request->sdiag_protocol = protocol;
    request->idiag_states = states;
    if (mnl_socket_sendto(socket, header, header->nlmsg_len) < 0)
        return -errno;
    while (result == MNL_CB_OK && (bytes = mnl_socket_recvfrom(socket, buffer, sizeof(buffer))) > 0)
        result = mnl_cb_run(buffer, (size_t)bytes, 0, 0, on_socket, search);
    return bytes < 0 || result == MNL_CB_ERROR ? -errno : 0;
}

int listeners_each(bool (*visit)(const struct listener *listener, void *context), void *context)
{
    static const struct {
        const char *name;
        uint8_t family, protocol;
        uint32_t states;
    } kinds[] = {
        {"tcp", AF_INET, IPPROTO_TCP, 1 << TCP_LISTEN},
        {"tcp", AF_INET6, IPPROTO_TCP, 1 << TCP_LISTEN},
        {"udp", AF_INET, IPPROTO_UDP, 1 << TCP_CLOSE},
        {"udp", AF_INET6, IPPROTO_UDP, 1 << TCP_CLOSE},
    };
    int result = 0;

    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && result == 0; i++) {
        struct search search = {kinds[i].name, visit, context};
        /* One socket a question: what visit cut short is not read as the next answer. */
        struct mnl_socket *socket = mnl_socket_open(NETLINK_SOCK_DIAG);
        if (socket == NULL)
            return -errno;
        result = mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
        if (result == 0)
            result = ask(socket, kinds[i].family, kinds[i].protocol, kinds[i].states, &search);
        mnl_socket_close(socket);
    }
    return result == -ENOENT ? 0 : result; /* a kernel without the family or protocol */
}
