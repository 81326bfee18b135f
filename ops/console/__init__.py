"""The console: pages for people, made on the server, of the same views and acts as the command.

settings    where it listens, and how long somebody is signed in
server      listens, and ends streams when it stops
app         the application: routes and what goes around each of them
guards      who is asked for a page, from where, and with which headers it is answered
pages       templates, assets by their content, and pages about what went wrong
acting      a form is carried out once, in the name of who is signed in
signing     sign in, sign out
change_list the page of all changes, and its exports
changes     the pages of one change, and what people do there
change_view what they show, from the status that the command shows
matrix graph how complete a change is; which step comes after which
states      of steps, as people see them
live        what people look at while it changes
tasks       what waits for whom, one task with its evidence, decisions
evidence    what a decision rests on and sets free
orders      the work list of buyers: chosen lines, decided alike
lists       filters, pages and who may decide, of both
export      a list as a file
"""
