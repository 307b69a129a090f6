// What stands in for two images of CSI's and DRA's specs whose modules aren't to be had: the registrar, which tells the
// kubelet of a driver, and the driver, which either passes connections on to the suite (-proxy-endpoint) or is the suite's
// own mock.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	grpcstatus "google.golang.org/grpc/status"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
	"k8s.io/kubernetes/test/e2e/storage/drivers/csi-test/driver"
	mock "k8s.io/kubernetes/test/e2e/storage/drivers/csi-test/mock/service"
)

// flags are those given as -name=value, --name=value or --name value; a name alone is true.
func flags(args []string) map[string]string {
	out := map[string]string{}
	for i := 0; i < len(args); i++ {
		name, value, with := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if !with {
			value = "true"
			if i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
				i++
				value = args[i]
			}
		}
		out[name] = value
	}
	return out
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func listenUnix(path string) net.Listener {
	os.Remove(path)
	l, err := net.Listen("unix", path)
	check(err)
	return l
}

type registrar struct {
	registration.UnimplementedRegistrationServer
	name, endpoint string
}

func (r registrar) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type: registration.CSIPlugin, Name: r.name, Endpoint: r.endpoint, SupportedVersions: []string{"1.0.0"},
	}, nil
}

func (r registrar) NotifyRegistrationStatus(_ context.Context, s *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	fmt.Println("registered:", s.PluginRegistered, s.Error)
	if !s.PluginRegistered {
		os.Exit(1) // the kubelet starts us again, and so asks again
	}
	return &registration.RegistrationStatusResponse{}, nil
}

func register(f map[string]string) {
	conn, err := grpc.NewClient("unix://"+f["csi-address"], grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	var name string
	for name == "" {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		info, err := csi.NewIdentityClient(conn).GetPluginInfo(ctx, &csi.GetPluginInfoRequest{}, grpc.WaitForReady(true))
		cancel()
		if err == nil {
			name = info.Name
		} else {
			fmt.Println(err)
			time.Sleep(time.Second)
		}
	}
	conn.Close()
	server := grpc.NewServer()
	registration.RegisterRegistrationServer(server, registrar{name: name, endpoint: f["kubelet-registration-path"]})
	check(server.Serve(listenUnix(filepath.Join("/registration", name+"-reg.sock"))))
}

// pass pairs each connection of the one side with one of the other.
func pass(f map[string]string) {
	_, port, _ := strings.Cut(f["proxy-endpoint"], "://")
	remote, err := net.Listen("tcp", port)
	check(err)
	local := listenUnix(f["endpoint"])
	for {
		a, err := local.Accept()
		check(err)
		b, err := remote.Accept()
		check(err)
		copyAll := func(to, from net.Conn) {
			io.Copy(to, from)
			to.Close()
			from.Close()
		}
		go copyAll(a, b)
		go copyAll(b, a)
	}
}

type call struct {
	Method            string
	Request, Response any
	Error             string
	FullError         *spb.Status
}

// logCall writes a call as the suite reads it from the driver's log.
func logCall(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	answer, err := handler(ctx, req)
	c := call{Method: info.FullMethod, Request: req, Response: answer}
	if err != nil {
		c.Error, c.FullError = err.Error(), grpcstatus.Convert(err).Proto()
	}
	text, _ := json.Marshal(c)
	fmt.Printf("gRPCCall: %s\n", text)
	return answer, err
}

func drive(f map[string]string) {
	limit, _ := strconv.ParseInt(f["attach-limit"], 10, 64)
	s := mock.New(mock.Config{
		DriverName:            f["drivername"],
		DisableAttach:         f["enable-attach"] != "true",
		AttachLimit:           limit,
		EnableTopology:        f["enable-topology"] == "true",
		NodeExpansionRequired: f["node-expand-required"] == "true",
		PermissiveTargetPath:  true,
		IO:                    mock.OSDirIO{},
	})
	d := driver.NewCSIDriver(&driver.CSIDriverServers{Controller: s, Identity: s, Node: s})
	check(d.Start(listenUnix(f["endpoint"]), logCall))
	select {}
}

func main() {
	f := flags(os.Args[1:])
	switch {
	case f["kubelet-registration-path"] != "":
		register(f)
	case f["proxy-endpoint"] != "":
		pass(f)
	default:
		drive(f)
	}
}
