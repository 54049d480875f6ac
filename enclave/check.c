/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/check.h"

#include "enclave/config.h"
#include "runtime/host/kernel_faults.h"
#include "runtime/host/kernel_features.h"
#include "runtime/host/sysctl.h"
#include "runtime/lane/check_path.h"

static bool have_rules(const struct enclave_config *config)
{
    if (config->firewall != RULES_AUTO)
        return rules_backend_usable(config->firewall);
    return rules_backend_usable(RULES_IPTABLES) || rules_backend_usable(RULES_IPTABLES_LEGACY) ||
           rules_backend_usable(RULES_NFT);
}

int check_enclave(const struct enclave_config *config)
{
    struct check_report report = {0};
    bool queue = features_nfqueue();
    bool rules = have_rules(config);

    check_path(&report);
    if (config->link.kind == LINK_VSOCK)
        check_required(&report, check_vsock(), "vsock",
                       "the kernel needs CONFIG_VSOCKETS and the transport of this hypervisor");
    if (config->capture == CAPTURE_NFQUEUE) {
        check_required(&report, queue, "NFQUEUE", "CONFIG_NETFILTER_NETLINK_QUEUE is off");
        check_required(&report, rules, "a firewall tool", "install iptables or nftables");
    } else if (config->capture == CAPTURE_AUTO) {
        check_optional(&report, queue, "NFQUEUE",
                       "CONFIG_NETFILTER_NETLINK_QUEUE is off; AF_PACKET captures instead");
        check_optional(&report, rules, "a firewall tool",
                       "neither iptables nor nft works here; AF_PACKET captures instead");
    }
    if (config->capture != CAPTURE_PACKET)
        check_optional(
            &report, features_tc_mark(), "tc program",
            "CONFIG_NET_CLS_BPF or CONFIG_BPF_SYSCALL is off; NFQUEUE works without GSO");
    kernel_faults_check(enclave_config_uses(config));
    struct failure failure;
    bool place = check_socket_place(config->common.control.path, &failure);
    check_required(&report, place, "place for the control socket", failure.text);
    const char *ipv6_off = sysctl_ipv6_off();
    check_optional(&report, ipv6_off == NULL, "IPv6", ipv6_off != NULL ? ipv6_off : "");
    return check_finish(&report);
}
