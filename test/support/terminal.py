"""Runs a command at a terminal: `terminal.py '[["Question: ", "answer"], ...]' COMMAND...`. Prints what the terminal shows."""
import json, os, pty, sys

child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
shown = b""
for question, answer in json.loads(sys.argv[1]):
    while not shown.endswith(question.encode()):
        shown += os.read(terminal, 1)
    os.write(terminal, answer.encode() + b"\r")
try:
    while chunk := os.read(terminal, 4096):
        shown += chunk
except OSError:
    pass
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
