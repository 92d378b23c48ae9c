/* SPDX-License-Identifier: Apache-2.0 */
/* postern: the operator's command. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

static const CliCommand commands[] = {
    {"schema", "install, upgrade or look at the database's schema", cmd_schema},
    {"networks", "our own address space: add, end, list, export for the collector", cmd_networks},
    {"customers", "import customers, their addresses and contacts from a CSV file", cmd_customers},
    {"mail", "what customers are told: preview", cmd_mail},
    {"reporters", "whose complaints count: add, list", cmd_reporters},
    {"ip", "one address: show, release, exempt", cmd_ip},
    {"freeze", "close an address for ever: propose, approve, reject; what is never frozen",
     cmd_freeze},
    {"enforcement", "the ways into the network: limits, and the switch that stops or lifts all",
     cmd_enforcement},
    {"mode", "shadow (only record) or enforce (warn and block)", cmd_mode},
    {"audit", "the record of what was done: is it as it was sealed?", cmd_audit},
    {"replay", "send a recorded capture of flow exports to a collector", cmd_replay},
    {"backtest", "what the detector would have said about recorded flows", cmd_backtest},
    {"report", "the report of a day, a week or a month", cmd_report},
    {"expire", "take away what is older than it is to be kept", cmd_expire},
    {"doctor", "is everything well? names what is not, and what to do", cmd_doctor},
};

static void print_help(FILE *out)
{
    fputs("Usage:\n  postern COMMAND …\n\nThe operator's command of Postern.\n\nCommands:\n", out);
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++)
        fprintf(out, "  %-11s %s\n", commands[i].name, commands[i].summary);
    fputs("\nEach has its own help: postern COMMAND --help\n"
          "\nA new installation, in this order:\n"
          "  postern schema install --database \"host=/run/postgresql dbname=postern\"\n"
          "  postern networks add 192.0.2.0/24 …\n"
          "  postern customers import customers.csv …\n"
          "  postern networks export --output /etc/postern/networks …\n"
          "  postern doctor …          then, when shadow mode has shown what it would do:\n"
          "  postern mode enforce …\n"
          "\nExit status: 0 done, 1 failed or something is wrong, 2 usage or configuration.\n",
          out);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return PST_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return PST_EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("postern %s\n", PST_VERSION);
        return PST_EXIT_DONE;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0) {
            g_autofree char *name = g_strdup_printf("postern %s", argv[1]);
            argv[1] = name;
            return commands[i].main(argc - 1, argv + 1);
        }
    fprintf(stderr, "postern: there is no command \"%s\"\nTry postern --help\n", argv[1]);
    return PST_EXIT_USAGE;
}
