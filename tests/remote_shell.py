"""What stands for ssh in tests."""


def fake_shell(folder):
    """Write a remote shell: it runs the command here, and does not reach hosts called down.

    It notes the hosts that it was called for in a file ``calls``.
    """
    path = folder / "shell"
    path.write_text(
        '#!/bin/sh\n[ "$1" = down ] && { echo "no route to host" >&2; exit 255; }\n'
        'echo "$1" >> calls\nshift\nexec sh -c "$*"\n'
    )
    path.chmod(0o755)
    return path
