"""Local PostgreSQL and RabbitMQ for the demo, the tests and developers.

Servers of ours listen on loopback only, on free ports, keep everything in one state folder and
leave no process behind. Nothing here runs in production.
"""

from ops.stack.servers import Servers, StackUnavailable
from ops.stack.stack import Stack

__all__ = ["Servers", "Stack", "StackUnavailable"]
