#!/usr/bin/env bash
# ipykernel: once a cell has sent something on a comm, messages of the page on that comm wait for the cells that compute.
#
# Setting: a widget whose page asks for data while a long cell runs. The page sends its comm messages with the id of a
#   subshell, so that a thread beside the main one answers them; JupyterLab does so for widgets. Before that some cell
#   has set a trait, which sends a message on the comm from the main thread.
# Expected: the subshell that the message names answers it, whatever was sent earlier by whom.
# Seen: the kernel hands a message to the thread that last sent something on the comm in place of the one that the
#   message names. After a message of a cell that is the main thread, and the page waits until the long cell is done.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check ipykernel==7.4.0 jupyter-client==8.10.0 comm==0.2.3
cd "$folder"
export HOME="$folder"
venv/bin/python - <<'PYTHON'
import time

import ipykernel
from jupyter_client.manager import start_new_kernel

print("ipykernel", ipykernel.__version__)
CELL_SECONDS = 4
manager, client = start_new_kernel(kernel_name="python3")


def run(code: str) -> None:
    """Run a cell to its end."""
    client.execute_interactive(code, timeout=60, output_hook=lambda _: None)


def send(kind: str, subshell: str, **content: object) -> None:
    """Send a message of a page to a subshell."""
    message = client.session.msg(kind, {"comm_id": "a", **content})
    message["header"]["subshell_id"] = subshell
    client.shell_channel.send(message)


def seconds_until_answered(subshell: str) -> float:
    """Begin a long cell, and ask on the comm meanwhile."""
    client.execute(f"import time; time.sleep({CELL_SECONDS})")
    time.sleep(0.5)
    begun = time.monotonic()
    send("comm_msg", subshell, data={"ask": 1})
    while True:
        message = client.get_iopub_msg(timeout=60)
        if message["msg_type"] == "comm_msg" and message["content"]["data"] == {"answer": 1}:
            return time.monotonic() - begun


try:
    run(
        "comms = []\n"
        "def opened(comm, message):\n"
        "    comms.append(comm)\n"
        "    comm.on_msg(lambda message: comm.send({'answer': 1}))\n"
        "get_ipython().kernel.comm_manager.register_target('page', opened)"
    )
    client.control_channel.send(client.session.msg("create_subshell_request"))
    subshell = client.get_control_msg(timeout=60)["content"]["subshell_id"]
    send("comm_open", subshell, target_name="page", data={})
    time.sleep(1)
    first = seconds_until_answered(subshell)
    time.sleep(CELL_SECONDS + 1)
    run("comms[0].send({'a value': 2})")  # as setting a trait does
    second = seconds_until_answered(subshell)
    print(f"answered while a cell of {CELL_SECONDS} s runs: after {first:.2f} s; "
          f"once a cell has sent something on the comm: after {second:.2f} s")
    assert first < 1 < second, "changed: the subshell that is named answers"
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
PYTHON
