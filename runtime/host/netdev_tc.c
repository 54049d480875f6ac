/* SPDX-License-Identifier: Apache-2.0 */
/* Attaching a program to a device's ingress: the clsact qdisc and one cls_bpf filter in it. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "runtime/host/netdev_private.h"

/* Our place among the filters: the same on every start, so that a new program replaces the old. */
#define FILTER_PRIORITY 1
#define FILTER_HANDLE   1

static int ensure_clsact(struct netdev *nd, int ifindex)
{
    struct request request;
    struct tcmsg *info =
        request_begin(&request, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, sizeof(*info));
    int result;

    info->tcm_ifindex = ifindex;
    info->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
    info->tcm_parent = TC_H_CLSACT;
    mnl_attr_put_strz(request.header, TCA_KIND, "clsact");
    result = netdev_talk(nd, &request, NULL, NULL);
    return result == -EEXIST ? 0 : result;
}

int netdev_attach_ingress(struct netdev *nd, int ifindex, int program_fd, const char *name)
{
    struct request request;
    struct tcmsg *info;
    struct nlattr *options;
    int result = ensure_clsact(nd, ifindex);

    if (result < 0)
        return result;
    info = request_begin(&request, RTM_NEWTFILTER, NLM_F_CREATE, sizeof(*info));
    info->tcm_ifindex = ifindex;
    info->tcm_handle = FILTER_HANDLE;
    info->tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
    info->tcm_info = TC_H_MAKE(FILTER_PRIORITY << 16, htons(ETH_P_ALL));
    mnl_attr_put_strz(request.header, TCA_KIND, "bpf");
    options = mnl_attr_nest_start(request.header, TCA_OPTIONS);
    mnl_attr_put_u32(request.header, TCA_BPF_FD, (uint32_t)program_fd);
    mnl_attr_put_strz(request.header, TCA_BPF_NAME, name);
    mnl_attr_put_u32(request.header, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
    mnl_attr_nest_end(request.header, options);
    return netdev_talk(nd, &request, NULL, NULL);
}

struct filter_look {
    const char *name;
    bool found;
};

static int on_filter(const struct nlmsghdr *message, void *context)
{
    struct filter_look *look = context;
    const struct nlattr *attribute, *option;

    if (message->nlmsg_type != RTM_NEWTFILTER ||
        mnl_nlmsg_get_payload_len(message) < sizeof(struct tcmsg))
        return MNL_CB_OK;
    mnl_attr_for_each(attribute, message, sizeof(struct tcmsg))
    {
        if (mnl_attr_get_type(attribute) != TCA_OPTIONS)
            continue;
        mnl_attr_for_each_nested(option, attribute)
        {
            if (mnl_attr_get_type(option) == TCA_BPF_NAME &&
                mnl_attr_validate(option, MNL_TYPE_NUL_STRING) == 0)
                look->found |= strcmp(mnl_attr_get_str(option), look->name) == 0;
        }
    }
    return MNL_CB_OK;
}

int netdev_has_ingress(struct netdev *nd, int ifindex, const char *name)
{
    struct filter_look look = {.name = name};
    int result;

    do {
        struct request request;
        struct tcmsg *info = request_begin(&request, RTM_GETTFILTER, NLM_F_DUMP, sizeof(*info));

        info->tcm_ifindex = ifindex;
        info->tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
        look.found = false;
        result = netdev_talk(nd, &request, on_filter, &look);
    } while (result == -EINTR);
    return result < 0 ? result : look.found;
}
