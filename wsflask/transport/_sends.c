/* One non-blocking send() to each of many sockets; sends.py has the same in Python, and says what it promises. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <errno.h>
#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

static int append(PyObject *list, Py_ssize_t index, Py_ssize_t sent)
{
    PyObject *pair = Py_BuildValue("(nn)", index, sent);
    int failed = pair == NULL || PyList_Append(list, pair) < 0;
    Py_XDECREF(pair);
    return failed ? -1 : 0;
}

static PyObject *send_each(PyObject *module, PyObject *args)
{
    PyObject *descriptors, *chunks;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!O!:send_each", &PyList_Type, &descriptors, &PyList_Type, &chunks))
        return NULL;
    Py_ssize_t count = PyList_Size(descriptors);
    if (PyList_Size(chunks) != count) {
        PyErr_SetString(PyExc_ValueError, "send_each() takes as many descriptors as chunks");
        return NULL;
    }
    PyObject *behind = PyList_New(0);
    for (Py_ssize_t index = 0; behind != NULL && index < count; index++) {
        long descriptor = PyLong_AsLong(PyList_GetItem(descriptors, index));
        char *data;
        Py_ssize_t size;
        if ((descriptor == -1 && PyErr_Occurred())
            || PyBytes_AsStringAndSize(PyList_GetItem(chunks, index), &data, &size) < 0) {
            Py_CLEAR(behind);
            break;
        }
        ssize_t sent = send((int)descriptor, data, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0)
            sent = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
        if (sent != size && append(behind, index, sent) < 0)
            Py_CLEAR(behind);
    }
    return behind;
}

static PyMethodDef methods[] = {
    {"send_each", send_each, METH_VARARGS, "Write chunks[i] to descriptors[i], once each; see sends.py."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_sends", .m_size = 0, .m_methods = methods};

PyMODINIT_FUNC PyInit__sends(void)
{
    return PyModuleDef_Init(&definition);
}
